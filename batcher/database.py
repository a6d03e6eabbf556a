"""All that a batch worker knows, in one DuckDB file, its Kafka offsets included. Calls block; threads may share it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import pyarrow as pa

from batcher import answers, catalogue, fact_sums, facts, outbox, reference, runs
from batcher.bodies import FileReader, no_files
from batcher.database_file import DatabaseFile, Interruption
from batcher.explanation import Explainer, Explanation
from batcher.facts import InsertResult, Load
from batcher.known_keys import KnownKeys
from batcher.outbox import OutboxRow
from batcher.queries import Connection
from batcher.reference import ReferenceChange
from batcher.runs import Run
from batcher.triggers import Cause
from batcher.velocity import Calculator
from runtime.settings import Settings
from schemas.records import Manifest, Window
from schemas.reference import ReferenceRecord
from schemas.windows import SiteWindows

LEAST_BYTES = 128 << 20  # of memory, for the row groups of a transaction

T = TypeVar("T")


class Database:
    """Batches, facts, reference data, results and outbox of the sites that this worker owns.

    A method that changes something is a transaction of its own, or part of the `transaction` around it.
    """

    def __init__(
        self, file: DatabaseFile, settings: Settings, windows: SiteWindows, read_file: FileReader = no_files
    ) -> None:
        self._file = file
        self._read_file = read_file
        self._windows = windows
        self._require_known_items = settings.velocity.require_known_items
        self._calculator = Calculator(windows, settings.velocity)
        self._explainer = Explainer(self._calculator, settings.velocity)
        self._kept_instants = settings.batch.kept_instants
        self._keys = KnownKeys(settings.batch.keys_bytes)
        self._memory_bytes = settings.batch.database_bytes

    @classmethod
    def open(cls, path: Path, settings: Settings, windows: SiteWindows, read_file: FileReader = no_files) -> Self:
        """Open the file, or create it; one of an older version is brought up to date.

        `read_file` gives the bytes of batch files, where what a fact leaves out is needed.

        Raises:
            DatabaseRefused: another process has it open, it is no such file, or another version wrote it.
        """
        return cls(DatabaseFile.open(path, settings.batch), settings, windows, read_file)

    def close(self) -> None:
        """Wait for the transaction in hand, then close the file."""
        self._file.close()

    def interrupt(self) -> None:
        """Let whatever is running fail with `duckdb.InterruptException`."""
        self._file.interrupt()

    def held_bytes(self) -> int:
        """Memory of DuckDB's queries and transactions, in bytes."""
        return self._file.held_bytes()

    def set_memory_share(self, share: float) -> None:
        """Let DuckDB hold this share of what the settings give it, but no less than a transaction does with."""
        self._file.set_memory_limit(max(int(share * self._memory_bytes), min(self._memory_bytes, LEAST_BYTES)))

    def shrink_keys(self) -> None:
        """Let the table of known ids take half as much memory from now on."""
        with self._file.writing():
            self._keys.shrink()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within is committed together, or, after an exception, not at all."""
        with self._file.writing():
            yield

    def ask(self, question: Callable[[Connection], T]) -> T:
        """The answer to a question that changes nothing."""
        with self._file.reading() as connection:
            return question(connection)

    def ask_snapshot(self, question: Callable[[Connection], T]) -> T:
        """The answer to a question that takes several queries, all of which see the same."""
        with self._file.snapshot() as connection:
            return question(connection)

    def change(self, work: Callable[[Connection], T]) -> T:
        """What a change of its own kind returns, once it is committed."""
        with self._file.writing() as connection:
            return work(connection)

    # -- offsets, sites, batches ---------------------------------------------------------------------------------------

    def offsets(self) -> dict[tuple[str, int], int]:
        """(topic, partition) → the next offset to consume."""
        with self._file.reading() as connection:
            return catalogue.offsets(connection)

    def set_offset(self, topic: str, partition: int, next_offset: int) -> None:
        """Remember the next offset to consume."""
        with self._file.writing() as connection:
            catalogue.set_offset(connection, topic, partition, next_offset)

    def topic_id(self, topic: str) -> str | None:
        """The broker's id of the topic that was consumed under this name; None before `set_topic_id`."""
        with self._file.reading() as connection:
            return catalogue.topic_id(connection, topic)

    def set_topic_id(self, topic: str, topic_id: str) -> None:
        """Remember which topic it is that is consumed."""
        with self._file.writing() as connection:
            catalogue.set_topic_id(connection, topic, topic_id)

    def sites(self) -> dict[str, int]:
        """Every site that a batch named, sorted, and the partition of the batches topic that it comes from."""
        with self._file.reading() as connection:
            return catalogue.sites(connection)

    def known_batch(self, batch_id: str) -> bool:
        """Whether the batch was inserted."""
        return bool(self.known_batches([batch_id]))

    def known_batches(self, batch_ids: Sequence[str]) -> set[str]:
        """Those of the batches that were inserted."""
        with self._file.reading() as connection:
            return catalogue.known_batches(connection, batch_ids)

    def batches(
        self, site_id: str | None = None, row_limit: int | None = None, batch_id: str | None = None
    ) -> pa.Table:
        """The catalogue of a site or of all: see `catalogue.batches`."""
        with self._file.reading() as connection:
            return catalogue.batches(connection, site_id, row_limit, batch_id)

    def insert_batch(self, manifest: Manifest, file: bytes, partition: int, offset: int) -> InsertResult:
        """Insert one batch: see `Load` and `InsertResult`."""
        return self.insert_batches([Load(manifest, file, partition, offset)])[0]

    def insert_batches(self, loads: Sequence[Load]) -> list[InsertResult]:
        """Insert batches as one set, each once by its `batch_id`: see `facts.insert`."""
        require_known = self._require_known_items
        with self._file.writing() as connection:
            return facts.insert(connection, self._keys, loads, self._read_file, require_known_items=require_known)

    # -- facts ---------------------------------------------------------------------------------------------------------

    def first_event_time(self, site_id: str) -> int | None:
        """Event time of the site's first fact, held ones included; None without one."""
        with self._file.reading() as connection:
            return fact_sums.first_event_time(connection, site_id)

    def held(self, site_id: str | None = None, row_limit: int | None = None) -> pa.Table:
        """Held facts: see `facts.held`."""
        require_known = self._require_known_items
        with self._file.reading() as connection:
            return facts.held(connection, site_id, row_limit, self._read_file, require_known_items=require_known)

    def conflicts(self, site_id: str | None = None, row_limit: int | None = None) -> pa.Table:
        """Bodies that do not count: see `facts.conflicts`."""
        with self._file.snapshot() as connection:
            return facts.conflicts(connection, site_id, row_limit, self._read_file)

    def fact_statistics(self) -> pa.Table:
        """Facts, held ones and conflicts per site and source: see `facts.statistics`."""
        with self._file.reading() as connection:
            return facts.statistics(connection, require_known_items=self._require_known_items)

    # -- reference data and completeness -------------------------------------------------------------------------------

    def apply_reference(self, records: Iterable[ReferenceRecord]) -> ReferenceChange:
        """Store reference records; facts are converted by them from now on."""
        with self._file.writing() as connection:
            return reference.apply(connection, records)

    def set_complete(self, site_id: str, windows: Iterable[Window]) -> None:
        """Windows of the site are complete, once and for all."""
        with self._file.writing() as connection:
            catalogue.set_complete(connection, site_id, windows)

    def complete_count(self, site_id: str, start_ms: int, end_ms: int) -> int:
        """How many windows of the site that intersect `[start_ms, end_ms)` are complete."""
        windows = self._windows.grid_of(site_id).windows_between(start_ms, end_ms)
        with self._file.reading() as connection:
            return catalogue.complete_among(connection, site_id, windows)

    def complete_windows(self, site_id: str) -> int:
        """How many windows of the site have ever been complete, of whatever grid."""
        with self._file.reading() as connection:
            return catalogue.complete_windows(connection, site_id)

    def complete_span(self, site_id: str) -> Window | None:
        """From the start of the site's earliest complete window to the end of its latest; None without one."""
        with self._file.reading() as connection:
            return catalogue.complete_span(connection, site_id)

    def latest_complete_end(self, site_id: str) -> int | None:
        """End of the site's latest complete window; None without one."""
        span = self.complete_span(site_id)
        return span.end if span else None

    # -- velocity ------------------------------------------------------------------------------------------------------

    def calculate(
        self, site_id: str, as_of_ms: int, horizon: str = "rolling_30d", *, trigger: str, now_ms: int, newest: bool
    ) -> Run:
        """Calculate a site's velocity, once per set of inputs; if `newest`, what it changes goes to the outbox.

        Raises:
            ValueError: there is no such horizon.
        """
        with self._file.writing() as connection:
            run = self._calculator.calculate(connection, site_id, as_of_ms, horizon, trigger, now_ms)
            partition = catalogue.sites(connection).get(site_id)
            if newest and partition is not None:  # a site that no batch named has nothing to publish
                outbox.publish(connection, run, partition, self._calculator.provisional_ms)
            runs.prune(connection, run, self._kept_instants, Cause.REQUEST)
            return run

    def runs(self, site_id: str | None = None, row_limit: int | None = None) -> list[Run]:
        """Runs of a site or of all, the latest calculation first."""
        with self._file.reading() as connection:
            return runs.find_all(connection, site_id, row_limit)

    def newest_run(self, site_id: str, horizon: str, until_ms: int) -> Run | None:
        """The current run of a site with the latest `as_of` up to `until_ms`; None without one."""
        with self._file.reading() as connection:
            return runs.find_newest(connection, site_id, horizon, until_ms)

    def results(
        self,
        site_id: str | None = None,
        as_of_ms: int | None = None,
        horizon: str = "rolling_30d",
        skus: Sequence[str] | None = None,
    ) -> pa.Table:
        """Coefficients of a site or of all, of one `as_of` or of each site's newest: see `runs.results`."""
        with self._file.reading() as connection:
            return runs.results(connection, site_id, as_of_ms, horizon, skus)

    def compute(
        self,
        site_id: str,
        horizon: str,
        until_ms: int,
        skus: Sequence[str],
        *,
        exact: bool,
        interruption: Interruption,
    ) -> tuple[Run, str] | None:
        """The current run of a site up to `until_ms`, or of exactly that instant, and `answers.results_of` it.

        Raises:
            duckdb.InterruptException: it was interrupted.
        """
        with self._file.snapshot(interruption) as connection:
            run = runs.find_newest(connection, site_id, horizon, until_ms)
            if run is None or (exact and run.as_of_ms != until_ms):
                return None
            return run, answers.results_of(connection, run, skus)

    def explain(self, run: Run, sku: str) -> Explanation | None:
        """What the coefficient of a SKU in a current run is made of; None if the run has no such row."""
        with self._file.snapshot() as connection:
            return self._explainer.explain(connection, run, sku)

    # -- outbox --------------------------------------------------------------------------------------------------------

    def outbox(self, partition: int, row_limit: int) -> list[OutboxRow]:
        """The next records for the coefficients topic, from sites of a partition of the batches topic."""
        with self._file.reading() as connection:
            return outbox.pending(connection, partition, row_limit)

    def acknowledge_outbox(self, partition: int, up_to: int) -> None:
        """Records of the partition up to and including the one with `seq` `up_to` were published."""
        with self._file.writing() as connection:
            outbox.acknowledge(connection, partition, up_to)

    def set_baseline(self, partition: int, values: Mapping[str, bytes | None]) -> None:
        """What the coefficients topic holds of the partition's sites: the outbox becomes the difference from there."""
        with self._file.writing() as connection:
            outbox.set_baseline(connection, partition, values, self._calculator.provisional_ms)
