"""One recalculation of a site after days of history, of which the horizon takes the last thirty.

Several `as_of` an hour apart, the median counts. All of them are taken back, so the commit is not measured.
"""

import os
import time

from msgspec import structs

from batcher.database import Database
from batcher.queries import Connection
from benchmarks.feed import SITE
from benchmarks.history import END_MS, ensure_history, open_history, taken_back
from benchmarks.job import Job, in_a_process_of_its_own
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.verify import WrongOutput

HOUR_MS = 3_600_000
HORIZON_DAYS = 30
REPEATS = 3


def run(job: Job) -> Measurement:
    """Recalculate, and check that every SKU of the horizon has a velocity."""
    os.environ["VELOCITY_WINDOW__SPEC"] = job.window
    history = job.days, job.facts_per_day, job.feed.skus, job.cache
    in_a_process_of_its_own(ensure_history, *history)
    database = open_history(ensure_history(*history))
    with taken_back(database):
        measured = [_calculate(database, END_MS - repeat * HOUR_MS) for repeat in reversed(range(REPEATS))]
    database.close()
    typical, peak = sorted(measured, key=lambda one: one.seconds)[REPEATS // 2], measured[-1].rss_mb
    details = {"first_s": round(measured[0].seconds, 3), "days": job.days, **typical.details}
    return structs.replace(typical, rss_mb=peak, details=details)


def _calculate(database: Database, as_of_ms: int) -> Measurement:
    watch = Stopwatch()
    watch.start()
    done = database.calculate(SITE, as_of_ms, trigger="schedule", now_ms=time.time_ns() // 1_000_000, newest=True)
    seconds = watch.stop(1)
    facts, skus = database.ask(lambda connection: _in_horizon(connection, as_of_ms))
    if done.skus != skus:
        raise WrongOutput(f"{done.skus} SKUs have a velocity, not {skus}")
    return structs.replace(seconds, items=facts, details={"skus": skus})


def _in_horizon(connection: Connection, as_of_ms: int) -> tuple[int, int]:
    """Facts and SKUs of the thirty days before an instant."""
    question = """
    SELECT count(*), count(DISTINCT sku) FROM told_facts WHERE event_time_ms >= $start AND event_time_ms < $end
    """
    start_ms = as_of_ms - HORIZON_DAYS * 24 * HOUR_MS
    ((facts, skus),) = connection.execute(question, {"start": start_ms, "end": as_of_ms}).fetchall()
    return facts, skus
