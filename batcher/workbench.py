"""What the parts of a batch worker share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from batcher.async_database import AsyncDatabase
from batcher.schedule.calendar import Calendar
from batcher.traces import SiteTraces
from runtime.health import Health
from runtime.partitioning import partition_of
from runtime.settings import Settings
from runtime.store import BatchStore
from schemas.topics import TopicRole
from schemas.windows import SiteWindows


@dataclass(frozen=True, slots=True)
class Workbench:
    """`partitions` is the number that the batches topic has. `wall_ms` is the wall clock, read in the shell alone."""

    settings: Settings
    windows: SiteWindows
    store: BatchStore
    database: AsyncDatabase
    health: Health
    partitions: int
    wall_ms: Callable[[], int]
    traces: SiteTraces = field(default_factory=SiteTraces)
    calendar: Calendar = field(default_factory=Calendar)

    @property
    def batches_topic(self) -> str:
        """Name of the batches topic."""
        return self.settings.topics.name(TopicRole.BATCHES)

    @property
    def backoff_s(self) -> float:
        """How long to wait before something is tried again."""
        return self.settings.batch.retry_backoff.total_seconds()

    def is_blacked_out(self, site_id: str) -> bool:
        """Whether a site is in a blackout now."""
        return self.calendar.blacked_out_until(site_id, self.wall_ms()) is not None

    def home_of(self, site_id: str) -> int:
        """The partition of the batches topic that a site's manifests are on."""
        return partition_of(site_id, self.partitions)
