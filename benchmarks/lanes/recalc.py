"""One recalculation of a site: ten million facts of thirty days into the velocity of 20,000 SKUs, results and outbox.

Several `as_of` an hour apart, the median counts: a repetition for the same one would find its run done and do nothing.
"""

import os
import time
from pathlib import Path

import duckdb
from msgspec import structs

from batcher.database import Database
from benchmarks.feed import SITE
from benchmarks.job import Job, in_a_process_of_its_own
from benchmarks.made_facts import make_facts
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.verify import WrongOutput
from runtime.settings import Settings
from runtime.sites import site_windows

FACTS = 10_000_000
DAYS = 30
AS_OF_MS = 1_738_713_600_000  # 2025-02-05T00:00:00Z
HOUR_MS = 3_600_000
REPEATS = 5


def run(job: Job) -> Measurement:
    """Set the facts up and recalculate."""
    os.environ["VELOCITY_WINDOW__SPEC"] = "PT5M"
    settings, file = Settings(), job.scratch / "facts.duckdb"
    windows = site_windows(settings)
    Database.open(file, settings, windows).close()
    in_a_process_of_its_own(_set_up, file, job.feed.skus)
    database = Database.open(file, settings, windows)
    measured = [_calculate(database, AS_OF_MS - repeat * HOUR_MS, job.feed.skus) for repeat in reversed(range(REPEATS))]
    database.close()
    typical = sorted(measured, key=lambda one: one.seconds)[REPEATS // 2]
    peak = max(one.rss_mb for one in measured)
    return structs.replace(typical, rss_mb=peak, details={"first_s": round(measured[0].seconds, 3), **typical.details})


def _set_up(file: Path, skus: int) -> None:
    with duckdb.connect(file) as connection:
        connection.execute("INSERT INTO sites VALUES ($site, 0)", {"site": SITE})
        make_facts(
            connection, SITE, facts=FACTS, skus=skus, end_ms=AS_OF_MS, span_ms=DAYS * 24 * HOUR_MS, per_batch=FACTS
        )


def _calculate(database: Database, as_of_ms: int, skus: int) -> Measurement:
    watch = Stopwatch()
    watch.start()
    done = database.calculate(SITE, as_of_ms, trigger="person", now_ms=time.time_ns() // 1_000_000, newest=True)
    if done.skus != skus:
        raise WrongOutput(f"{done.skus} SKUs have a velocity, not {skus}")
    return watch.stop(FACTS, skus=done.skus)
