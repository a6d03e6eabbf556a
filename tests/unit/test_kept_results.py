"""Results of the newest instants are kept, and those that were asked for; others can be made again."""

from contextlib import closing
from itertools import count

from hand_made import batch, open_database, order

from batcher.database import Database
from batcher.runs import Run
from batcher.triggers import Cause
from schemas.instants import parse_rfc3339
from schemas.sources import Source

HOUR_MS = 3_600_000
_clock = count(1)
AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")


def calculate(database: Database, hours: int, trigger: str = "windows", *, newest: bool = True) -> Run:
    as_of_ms = AS_OF + hours * HOUR_MS
    return database.calculate("S1", as_of_ms, trigger=trigger, now_ms=next(_clock), newest=newest)


def kept(database: Database) -> list[int]:
    """Hours whose runs have results, by the runs; they must be those that the results are of."""
    current = [run for run in database.runs() if run.current]
    with database._file.reading() as connection:
        found = connection.execute("SELECT DISTINCT run_id FROM results").fetchall()
    assert {run_id for (run_id,) in found} == {run.run_id for run in current}
    return sorted((run.as_of_ms - AS_OF) // HOUR_MS for run in current)


def test_the_newest_instants_and_requests_are_kept() -> None:
    """Two of each; a request does not push a calculation out, nor the other way round."""
    with closing(open_database(kept_instants=2)) as database:
        database.insert_batch(*batch(Source.ORDERS, order("E1", "2011-05-30T00:00:00Z")), partition=0, offset=0)
        early = calculate(database, 1, Cause.REQUEST, newest=False)
        for hours in range(2, 6):
            calculate(database, hours)
        assert kept(database) == [1, 4, 5]
        calculate(database, -7, Cause.REQUEST, newest=False)
        calculate(database, -8, Cause.REQUEST, newest=False)
        assert kept(database) == [-8, -7, 4, 5]
        assert database.results("S1", AS_OF + 5 * HOUR_MS).num_rows == 1
        assert calculate(database, 1, Cause.REQUEST, newest=False).run_id == early.run_id
        assert kept(database) == [-8, 1, 4, 5]


def test_what_is_published_is_kept() -> None:
    """A later take-over compares with it, however many calculations for later instants were only asked for."""
    with closing(open_database(kept_instants=1)) as database:
        database.insert_batch(*batch(Source.ORDERS, order("E1", "2011-05-30T00:00:00Z")), partition=0, offset=0)
        calculate(database, 0)
        calculate(database, 1, newest=False)
        calculate(database, 2, newest=False)
        assert kept(database) == [0, 2]
