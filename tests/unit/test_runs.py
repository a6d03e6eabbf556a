"""Which results are kept, and what is read of a long history."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from hand_made import batch, open_database, order
from msgspec import structs

from batcher.database import Database
from batcher.triggers import Cause
from schemas.instants import parse_rfc3339, rfc3339
from schemas.records import BatchKind, Window
from schemas.sources import Source

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = parse_rfc3339("2011-05-31T12:00:00Z")
KEPT = 3


@pytest.fixture
def database() -> Iterator[Database]:
    """Keeps the results of three instants; two SKUs were ordered."""
    with closing(open_database(keep_runs=KEPT)) as opened:
        events = [order(sku, rfc3339(NOON - 20 * DAY), sku=sku) for sku in "AB"]
        opened.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)
        yield opened


def calculate(database: Database, hour: int, *, trigger: str = Cause.WINDOWS, now_ms: int = 0) -> None:
    newest = trigger == Cause.WINDOWS
    database.calculate("S1", NOON + hour * HOUR, trigger=trigger, now_ms=now_ms, newest=newest)


def kept(database: Database) -> list[int]:
    """The hours whose results are there."""
    hours = sorted((run.as_of_ms - NOON) // HOUR for run in database.runs() if run.current)
    with database._file.reading() as connection:
        found = connection.execute("SELECT DISTINCT as_of_ms FROM results ORDER BY as_of_ms").fetchall()
    assert hours == [(as_of_ms - NOON) // HOUR for (as_of_ms,) in found]
    return hours


def test_results_of_the_newest_instants_are_kept(database: Database) -> None:
    """The others are only known to have been there, and can be calculated again."""
    for hour in range(10):
        calculate(database, hour)
    assert kept(database) == [7, 8, 9]
    assert len(database.runs()) == 10
    assert database.results("S1", NOON).num_rows == 0
    first = database.runs()[-1]
    calculate(database, 0, trigger=Cause.REQUEST)
    assert kept(database) == [0, 7, 8, 9]
    again = next(run for run in database.runs() if run.as_of_ms == first.as_of_ms)
    assert again.run_id == first.run_id


def test_results_that_were_asked_for_are_kept_for_a_month(database: Database) -> None:
    """From when they were asked for last, also if they were there by then."""
    calculate(database, 0)
    calculate(database, 1, trigger=Cause.REQUEST, now_ms=0)
    calculate(database, 0, trigger=Cause.REQUEST, now_ms=20 * DAY)
    for hour in range(2, 9):
        calculate(database, hour, now_ms=30 * DAY)
    assert kept(database) == [0, 1, 6, 7, 8]
    calculate(database, 9, now_ms=30 * DAY + 1)
    assert kept(database) == [0, 7, 8, 9]
    calculate(database, 10, now_ms=50 * DAY + 1)
    assert kept(database) == [8, 9, 10]


def test_what_is_published_is_kept_whatever_is_asked_for(database: Database) -> None:
    """Many partial results of later instants do not push it out, while they are kept or when they are not any more."""
    calculate(database, 0)
    for hour in range(1, 9):
        calculate(database, hour, trigger=Cause.REQUEST, now_ms=hour)
    assert kept(database) == list(range(9))
    calculate(database, 9, trigger=Cause.REQUEST, now_ms=40 * DAY)
    assert kept(database) == [0, 6, 7, 8, 9]


def test_of_windows_and_batches_only_as_many_are_read_as_are_wanted(database: Database) -> None:
    """The latest windows; a correction counts for each of its own, but its records for none."""
    for hour in range(5):
        manifest, rows = batch(Source.ORDERS, order(f"E{hour}", rfc3339(NOON + hour * HOUR)))
        window = Window(NOON + hour * HOUR, NOON + (hour + 1) * HOUR)
        on_time = structs.replace(manifest, kind=BatchKind.ON_TIME, windows=(window,))
        database.insert_batch(on_time, rows, partition=0, offset=hour + 1)
    manifest, rows = batch(Source.ORDERS, order("L", rfc3339(NOON + 3 * HOUR)), order("M", rfc3339(NOON + 4 * HOUR)))
    windows = tuple(Window(NOON + hour * HOUR, NOON + (hour + 1) * HOUR) for hour in (3, 4))
    database.insert_batch(structs.replace(manifest, windows=windows), rows, partition=0, offset=9)
    names = ("records", "batches", "corrections")
    found = [((r["start_ms"] - NOON) // HOUR, *(r[name] for name in names)) for r in database.windows("S1", 3)]
    assert found == [(4, 1, 1, 1), (3, 1, 1, 1), (2, 1, 1, 0)]
    assert database.batches("S1", 2).column("offset").to_pylist() == [0, 1]
    assert database.batches("S1").num_rows == 7
