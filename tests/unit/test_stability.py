"""Stable classes from run to run, through corrections, losses and take-overs."""

from contextlib import closing
from typing import Any

import pytest
from hand_made import batch, open_database, order

from batcher.database import Database
from batcher.runs import Run
from runtime.settings import VelocitySettings
from schemas.instants import parse_rfc3339, rfc3339
from schemas.sources import Source

DAY_MS = 86_400_000
FIRST = parse_rfc3339("2011-05-01T00:00:00Z")
MARGIN, RUNS = 0.1, 3  # an A until 0.88, a B from 0.72 on

#: Lines of a day, BIG's and X's, and the share before X then: 0.79, 0.809, 0.825, 0.841, 0.849.
DAYS = ((79, 21), (10, 0), (10, 0), (12, 0), (8, 0))


def warehouse(days: int = len(DAYS), **options: Any) -> Database:
    """Two SKUs; X is an A on the first day and just a B from the second on."""
    database = open_database(**({"class_margin": MARGIN, "class_runs": RUNS} | options))
    for day in range(days):
        insert_day(database, day)
    return database


def insert_day(database: Database, day: int) -> None:
    events = [
        order(f"{sku}-{day}-{number}", rfc3339(FIRST + day * DAY_MS), sku=sku)
        for sku, lines in zip(("BIG", "X"), DAYS[day], strict=True)
        for number in range(lines)
    ]
    database.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)


def calculate(database: Database, day: int, **options: Any) -> Run:
    """The run at the end of a day, published."""
    return database.calculate("S1", FIRST + (day + 1) * DAY_MS, trigger="test", now_ms=0, newest=True, **options)


def classes_of_x(database: Database, day: int) -> str:
    """The class of the moment and the stable one."""
    (row,) = database.results("S1", FIRST + (day + 1) * DAY_MS, skus=["X"]).to_pylist()
    return row["abc_class"] + row["stable_class"]


def test_a_run_starts_from_the_classes_of_the_run_of_the_instant_before() -> None:
    """Two runs as a B leave X an A, the third makes it a B; each run again is the same run and changes nothing."""
    with closing(warehouse()) as database:
        runs = [calculate(database, day) for day in range(5)]
        assert [classes_of_x(database, day) for day in range(5)] == ["AA", "BA", "BA", "BB", "BB"]
        assert [run.former_run_id for run in runs] == [None, *(run.run_id for run in runs[:-1])]
        again = [calculate(database, day) for day in range(5)]
        assert again == runs
        assert len(database.runs()) == 5


def test_other_classes_of_before_are_another_run() -> None:
    """A run of the first day, made later, changes what the run of the third starts from; its id says so."""
    with closing(warehouse()) as database:
        alone = calculate(database, 2)
        assert classes_of_x(database, 2) == "BB"
        calculate(database, 0)
        after = calculate(database, 2)
        assert classes_of_x(database, 2) == "BA"
        assert after.run_id != alone.run_id


def test_a_correction_in_the_past_leaves_the_decisions_of_then() -> None:
    """The run at hand is made anew by the corrected facts, from the classes that the run before it had."""
    with closing(warehouse(3)) as database:
        runs = [calculate(database, day) for day in range(3)]
        database.insert_batch(*batch(Source.ORDERS, order("LATE", rfc3339(FIRST), sku="BIG")), partition=0, offset=1)
        corrected = calculate(database, 2)
        assert corrected.run_id != runs[2].run_id
        assert corrected.former_run_id == runs[1].run_id
        assert classes_of_x(database, 2) == "BA"


def test_without_settings_for_it_classes_have_no_memory() -> None:
    """The stable class is the class; other runs are not in the run id."""
    plain = {"class_margin": 0.0, "class_runs": 1}
    with closing(warehouse(**plain)) as one, closing(warehouse(**plain)) as other:
        runs = [calculate(one, day) for day in range(3)]
        assert [classes_of_x(one, day) for day in range(3)] == ["AA", "BB", "BB"]
        assert calculate(other, 2).run_id == runs[2].run_id


def topic_of(database: Database) -> dict[str, bytes | None]:
    """What the coefficients topic holds once all is published."""
    return {row.key: row.value and row.value.encode() for row in database.outbox(0, 1_000)}


def test_after_a_loss_the_classes_come_from_the_coefficients_topic() -> None:
    """A rebuilt database knows no runs: X stays the A that was published, and waits for three runs again."""
    with closing(warehouse(2)) as lost:
        calculate(lost, 0)
        calculate(lost, 1)
        topic = topic_of(lost)
    with closing(warehouse()) as rebuilt:
        rebuilt.set_baseline(0, topic)
        first = calculate(rebuilt, 1)
        assert classes_of_x(rebuilt, 1) == "BA"
        assert calculate(rebuilt, 1) == first
        assert rebuilt.outbox(0, 10) == [], "nothing differs from what is published"
        rebuilt.set_baseline(0, topic)
        assert calculate(rebuilt, 1) == first, "taken over once more"
        assert [(calculate(rebuilt, day), classes_of_x(rebuilt, day))[1] for day in (2, 3)] == ["BA", "BB"]


def test_a_partition_that_comes_back_goes_by_the_newer_classes() -> None:
    """This worker knows the first day; another one owned the partition since and made X a B."""
    with closing(warehouse()) as other, closing(warehouse()) as ours:
        for day in range(4):
            calculate(other, day)
        calculate(ours, 0)
        ours.set_baseline(0, topic_of(other))
        calculate(ours, 4)
        assert classes_of_x(ours, 4) == "BB"


def test_the_run_before_must_be_kept() -> None:
    """Classes with a memory need two instants; half of the settings for it is refused, too."""
    with pytest.raises(ValueError, match=r"batch\.kept_instants"):
        warehouse(kept_instants=1)
    for half in ({"class_margin": MARGIN}, {"class_runs": 2}):
        with pytest.raises(ValueError, match="go together"):
            VelocitySettings(**half)
