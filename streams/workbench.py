"""What all partitions of a stream worker share."""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.settings import Settings
from runtime.store import BatchStore
from runtime.tracing import OFF, Tracing
from schemas.sources import Source
from schemas.windows import SiteWindows
from streams.batch_file import BatchFormat
from streams.batch_writer import BatchWriter
from streams.event_clock import ClockRules
from streams.intake import Intake
from streams.pressure import Pressure


@dataclass(frozen=True, slots=True)
class Workbench:
    """What all partitions of a worker share. `wall_ms` is the wall clock, read in the shell alone."""

    settings: Settings
    settings_hash: str
    store: BatchStore
    windows: SiteWindows
    rules: ClockRules
    intakes: dict[Source, Intake]
    formats: dict[Source, BatchFormat]
    pressure: Pressure
    wall_ms: Callable[[], int]
    tracing: Tracing = OFF

    def writer(self, source: Source, partition: int, site_id: str) -> BatchWriter:
        """A new batch file in this worker's temporary folder."""
        form, worker, block = self.formats[source], self.settings.worker_id, self.settings.stream.chunk_records
        return BatchWriter(form, self.store, worker, source, partition, site_id, block)
