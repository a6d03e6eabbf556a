"""The batch stage with history before it: the lane `batch`, into a database that has days of facts.

The first batch is not measured, for the first insertion of a process reads the ids of all facts (`first_s`). Nor is the
commit, because all of it is taken back.
"""

import os
from collections.abc import Sequence

from batcher.database import Database
from benchmarks.batches import ensure_batches
from benchmarks.history import ensure_history, open_history, taken_back
from benchmarks.job import Job, in_a_process_of_its_own
from benchmarks.lanes.batch import insert_loads, read_loads
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.verify import WrongOutput
from runtime.memory import keep_freed_memory
from runtime.settings import Settings
from runtime.store_local import LocalStore
from schemas.records import Manifest


def run(job: Job) -> Measurement:
    """Load the feed on top of the history."""
    os.environ["VELOCITY_WINDOW__SPEC"] = job.window
    in_a_process_of_its_own(ensure_batches, job.feed, job.cache)
    history = job.days, job.facts_per_day, job.feed.skus, job.cache
    in_a_process_of_its_own(ensure_history, *history)
    folder, manifests = ensure_batches(job.feed, job.cache)
    keep_freed_memory()
    database, store = open_history(ensure_history(*history)), LocalStore(folder)
    with taken_back(database):
        first = _load(database, store, manifests[:1])
        measured = _load(database, store, manifests[1:], first_s=round(first.seconds, 3), days=job.days)
    database.close()
    if first.items + measured.items != job.feed.events:
        raise WrongOutput(f"{first.items + measured.items} new facts of {job.feed.events} events")
    return measured


def _load(database: Database, store: LocalStore, manifests: Sequence[Manifest], **details: float) -> Measurement:
    watch = Stopwatch()
    watch.start()
    results = [one for loads in read_loads(store, manifests, Settings()) for one in insert_loads(database, loads)]
    return watch.stop(sum(result.facts_new for result in results), **details)
