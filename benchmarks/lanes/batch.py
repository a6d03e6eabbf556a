"""The batch stage: Avro files, verified against their manifests, to deduplicated facts in DuckDB.

As the batch worker does it, without its Kafka: two threads read files, a group ahead of the transaction that inserts
the group before. From the first manifest until the last fact is committed.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import duckdb

from batcher.database import Database
from batcher.facts import InsertResult, Load
from batcher.manifests import Announced
from batcher.reading import read_load
from benchmarks.batches import ensure_batches
from benchmarks.feed import BenchFeed
from benchmarks.job import Job, in_a_process_of_its_own
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.verify import WrongOutput
from runtime.memory import keep_freed_memory
from runtime.settings import Settings
from runtime.sites import site_windows
from runtime.store import BatchStore
from runtime.store_local import LocalStore
from schemas.records import Manifest

READERS = 2


def run(job: Job) -> Measurement:
    """Load the whole feed."""
    os.environ["VELOCITY_WINDOW__SPEC"] = "PT5M"
    in_a_process_of_its_own(ensure_batches, job.feed, job.cache)
    folder, manifests = ensure_batches(job.feed, job.cache)
    keep_freed_memory()
    settings, file = Settings(), job.scratch / "facts.duckdb"
    database, store = Database.open(file, settings, site_windows(settings)), LocalStore(folder)
    watch = Stopwatch()
    watch.start()
    results = [one for loads in read_loads(store, manifests, settings) for one in insert_loads(database, loads)]
    measured = watch.stop(sum(result.facts_new for result in results), files=len(manifests))
    database.close()
    _check(file, job.feed)
    return measured


def read_loads(store: BatchStore, manifests: Sequence[Manifest], settings: Settings) -> Iterator[list[Load]]:
    """The batches in groups of at most `load_records` records; while one is worked on, the next is being read."""
    announced = [Announced(manifest, 0, offset) for offset, manifest in enumerate(manifests)]
    with ThreadPoolExecutor(READERS) as readers:
        reading: list[Future[Load]] = []
        for group in _groups(announced, settings.batch.load_records):
            ready, reading = reading, [readers.submit(read_load, store, one) for one in group]
            if ready:
                yield [load.result() for load in ready]
        yield [load.result() for load in reading]


def _groups(announced: list[Announced], limit: int) -> Iterator[list[Announced]]:
    group, records = list[Announced](), 0
    for one in announced:
        if group and records + one.manifest.record_count > limit:
            yield group
            group, records = [], 0
        group.append(one)
        records += one.manifest.record_count
    yield group


def insert_loads(database: Database, loads: list[Load]) -> list[InsertResult]:
    """One transaction: the facts, and the offset of the manifests."""
    with database.transaction():
        results = database.insert_batches(loads)
        database.set_offset("bench.batches", 0, loads[-1].offset + 1)
    return results


def _check(file: Path, feed: BenchFeed) -> None:
    """Every line of the feed is one fact, with its quantity.

    Raises:
        WrongOutput
    """
    with duckdb.connect(file, read_only=True) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT key_hash), sum(quantity) FROM facts").fetchone()
    units = Decimal(sum(int(quantities.sum()) for quantities in feed.quantities())) / 1000
    if found != (feed.events, feed.events, units):
        raise WrongOutput(f"facts, ids and units are {found}, not {(feed.events, feed.events, units)}")
