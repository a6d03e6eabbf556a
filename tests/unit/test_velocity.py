"""Velocity, column by column, on warehouses small enough to be calculated by hand."""

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hand_made import Event, batch, counted, open_database, order, returned

from batcher import velocity
from batcher.database import Database
from batcher.horizon import Horizon
from schemas.coefficients import COLUMNS
from schemas.instants import parse_rfc3339, rfc3339
from schemas.records import Window
from schemas.reference import Item
from schemas.sources import Source

DAY_MS = 86_400_000
AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")


@pytest.fixture
def database() -> Iterator[Database]:
    with closing(open_database()) as opened:
        yield opened


def before(days: float) -> str:
    """An instant so many days before `as_of`."""
    return rfc3339(AS_OF - int(days * DAY_MS))


def insert(database: Database, source: Source, events: list[Event]) -> None:
    if events:
        database.insert_batch(*batch(source, *events), partition=0, offset=0)


def insert_lines(database: Database, lines: Mapping[str, int], *, days: float = 1, quantity: float = 1.0) -> None:
    """So many order lines per SKU, all at one instant."""
    events = [
        order(f"{sku}-{days}-{number}", before(days), sku=sku, quantity=quantity)
        for sku, count in lines.items()
        for number in range(count)
    ]
    insert(database, Source.ORDERS, events)


def calculate(database: Database, as_of_ms: int = AS_OF, site_id: str = "S1") -> str:
    return database.calculate(site_id, as_of_ms, trigger="test", now_ms=0, newest=False).run_id


def rows(database: Database, as_of_ms: int = AS_OF) -> dict[str, dict[str, Any]]:
    """Results by SKU."""
    calculate(database, as_of_ms)
    return {row["sku"]: row for row in database.results("S1", as_of_ms).to_pylist()}


def column(database: Database, name: str) -> dict[str, Any]:
    return {sku: row[name] for sku, row in rows(database).items()}


def test_every_column_of_a_small_warehouse(database: Database) -> None:
    """Three SKUs: a steady seller, a single line, and one that was only counted."""
    steady = [order(f"A{day}", before(day), sku="A", quantity=day / 2) for day in (1, 8, 15, 22)]
    insert(database, Source.ORDERS, [*steady, order("A40", before(40), sku="A"), order("B1", before(2), sku="B")])
    insert(database, Source.RETURNS, [returned("A", before(3), sku="A", quantity=1.5)])
    counts = [
        counted("A1", before(4), sku="A", variance=-2.0, book_quantity=20.0),
        counted("A2", before(5), sku="A", variance=3.0, book_quantity=5.0),
        counted("A3", before(6), sku="A", variance=7.0),
        counted("C1", before(6), sku="C", variance=-1.0),
    ]
    insert(database, Source.CYCLE_COUNTS, counts)
    run_id = calculate(database)
    common = {"site_id": "S1", "horizon": "rolling_30d", "as_of": "2011-05-31T00:00:00Z", "coverage": 0.0}
    expected = [
        {
            **common,
            "sku": "A",
            "order_lines": 4,
            "units_ordered": Decimal(23),
            "units_returned": Decimal("1.5"),
            "net_units": Decimal("21.5"),
            "lines_per_day": 4 / 30,
            "units_per_day": 21.5 / 30,
            "normalized_lines": Decimal(4),
            "velocity_coefficient": 4 / 30,
            "abc_class": "A",
            "demand_cv": 0.0,
            "xyz_class": "X",
            "variance_units": Decimal(8),
            "inventory_accuracy": 1 - 5 / 25,
            "first_seen": before(40),
            "provisional": False,
            "forward_lines": Decimal(4),
            "stable_class": "A",
            "count_accuracy": 0.0,
        },
        {
            **common,
            "sku": "B",
            "order_lines": 1,
            "units_ordered": Decimal(1),
            "units_returned": Decimal(0),
            "net_units": Decimal(1),
            "lines_per_day": 1 / 30,
            "units_per_day": 1 / 30,
            "normalized_lines": Decimal(1),
            "velocity_coefficient": 1 / 30,
            "abc_class": "B",  # the share before it is 4 / 5
            "demand_cv": math.sqrt(3),
            "xyz_class": "Z",
            "variance_units": Decimal(0),
            "inventory_accuracy": None,
            "first_seen": before(2),
            "provisional": True,
            "forward_lines": Decimal(1),
            "stable_class": "B",
            "count_accuracy": None,
        },
        {
            **common,
            "sku": "C",
            "order_lines": 0,
            "units_ordered": Decimal(0),
            "units_returned": Decimal(0),
            "net_units": Decimal(0),
            "lines_per_day": 0.0,
            "units_per_day": 0.0,
            "normalized_lines": Decimal(0),
            "velocity_coefficient": 0.0,
            "abc_class": "C",
            "demand_cv": None,
            "xyz_class": "Z",
            "variance_units": Decimal(-1),
            "inventory_accuracy": None,
            "first_seen": before(6),
            "provisional": True,
            "forward_lines": Decimal(0),
            "stable_class": "C",
            "count_accuracy": None,
        },
    ]
    table = database.results("S1", AS_OF)
    assert table.column_names == list(COLUMNS)
    assert table.to_pylist() == [close({**row, "run_id": run_id}) for row in expected]


def close(row: dict[str, Any]) -> dict[str, Any]:
    """Equal to a row whose ratios differ by less than 1e-12 and nothing else at all."""
    return {name: pytest.approx(value, abs=1e-12) if type(value) is float else value for name, value in row.items()}


def test_the_horizon_is_half_open(database: Database) -> None:
    """A fact at its start counts, one at `as_of` does not; a SKU without a fact in it has no row."""
    insert(
        database,
        Source.ORDERS,
        [
            order("E1", before(30), sku="START"),
            order("E2", rfc3339(AS_OF - 30 * DAY_MS - 1), sku="BEFORE"),
            order("E3", rfc3339(AS_OF - 1), sku="LAST"),
            order("E4", before(0), sku="AT-END"),
        ],
    )
    assert sorted(rows(database)) == ["LAST", "START"]


def test_the_horizon_follows_the_wall_clock_of_the_site() -> None:
    """London, midnight on 15 April: 30 days reach back to midnight GMT on 16 March, 719 hours."""
    as_of = parse_rfc3339("2011-04-15T00:00:00+01:00")
    with closing(open_database(zone="Europe/London")) as database:
        insert(
            database,
            Source.ORDERS,
            [order("E1", "2011-03-16T00:00:00Z", sku="IN"), order("E2", "2011-03-15T23:59:59.999Z", sku="OUT")],
        )
        assert sorted(rows(database, as_of)) == ["IN"]


def test_classes_begin_where_the_share_before_reaches_their_bounds(database: Database) -> None:
    """
    lines         80        10    5    5
    share before   0      0.80 0.90 0.95      0.80 is no longer A, and 0.95 no longer B
    """
    insert_lines(database, {"W": 80, "X": 10, "Y": 5, "Z": 5})
    assert column(database, "abc_class") == {"W": "A", "X": "B", "Y": "B", "Z": "C"}


def test_ties_go_by_net_units_and_then_by_the_code_points_of_the_sku(database: Database) -> None:
    """Five SKUs of one line each: shares before are 0, 0.2, 0.4, 0.6, 0.8; only the last is B."""
    insert_lines(database, {"A_1": 1, "A-1": 1, "A1": 1, "B": 1})
    insert_lines(database, {"MANY": 1}, quantity=2.0)
    assert column(database, "abc_class") == {"MANY": "A", "A-1": "A", "A1": "A", "A_1": "A", "B": "B"}
    insert(database, Source.RETURNS, [returned("R", before(1), sku="A-1", quantity=1.0)])
    assert column(database, "abc_class") == {"MANY": "A", "A1": "A", "A_1": "A", "B": "A", "A-1": "B"}


def test_without_any_order_line_all_are_c(database: Database) -> None:
    """There is no share of nothing."""
    insert(database, Source.RETURNS, [returned("R1", before(1), sku="A"), returned("R2", before(1), sku="B")])
    assert column(database, "abc_class") == {"A": "C", "B": "C"}


WEEKS = [
    ((1, 1, 1, 1), 0.0, "X"),
    ((3, 3, 1, 1), 0.5, "X"),  # not above the bound
    ((1, 1, 0, 0), 1.0, "Y"),  # not above the bound
    ((2, 1, 0, 0), math.sqrt(11) / 3, "Z"),
    ((4, 0, 0, 0), math.sqrt(3), "Z"),
    ((5, 3, 2, 2), math.sqrt(6) / 6, "X"),
]


@pytest.mark.parametrize(("weeks", "cv", "xyz"), WEEKS)
def test_demand_varies_over_the_last_four_weeks(
    database: Database, weeks: tuple[int, ...], cv: float, xyz: str
) -> None:
    """Population standard deviation over mean of the lines per week; a fact at a bound belongs to the later week."""
    for week, lines in enumerate(weeks, 1):
        insert_lines(database, {"A": lines}, days=7 * week)
    row = rows(database)["A"]
    assert row["demand_cv"] == pytest.approx(cv, abs=1e-12)
    assert row["xyz_class"] == xyz


def test_lines_before_the_four_weeks_have_no_variation(database: Database) -> None:
    """On the 29th day back a line counts, but not in a week: the mean is 0."""
    insert_lines(database, {"A": 2}, days=28.5)
    row = rows(database)["A"]
    assert (row["order_lines"], row["demand_cv"], row["xyz_class"]) == (2, None, "Z")


def test_counts_are_accurate_within_the_tolerance_of_the_class(database: Database) -> None:
    """Differences of 1, 3 and 5 % of 100: the bound itself is within; the A may miss by 1 %, the B by 3, the C by 5."""
    insert_lines(database, {"A": 80, "B": 15, "C": 5})
    misses = (0.0, 1.0, -1.01, 3.0, -3.01, 5.0, -5.01)
    events = [
        counted(f"{sku}{n}", before(1), sku=sku, variance=miss, book_quantity=100.0)
        for sku in "ABC"
        for n, miss in enumerate(misses)
    ]
    none_booked = [
        counted(f"N{n}", before(1), sku="C", variance=miss, book_quantity=0.0) for n, miss in enumerate((0.0, 0.001))
    ]
    without_book = counted("X", before(1), sku="C", variance=9.0)
    insert(database, Source.CYCLE_COUNTS, [*events, *none_booked, without_book])
    assert column(database, "abc_class") == {"A": "A", "B": "B", "C": "C"}
    assert column(database, "count_accuracy") == {"A": 2 / 7, "B": 4 / 7, "C": (6 + 1) / 9}


def test_the_class_can_be_that_of_net_units() -> None:
    """By lines F is first; by units S is, and what came back alone counts nothing."""
    with closing(open_database(class_metric="units")) as database:
        insert_lines(database, {"F": 8})
        insert_lines(database, {"S": 1}, quantity=92.0)
        insert_lines(database, {"R": 1})
        insert(database, Source.RETURNS, [returned("R1", before(1), sku="R", quantity=50.0)])
        assert column(database, "abc_class") == {"S": "A", "F": "B", "R": "C"}


@pytest.mark.parametrize(("horizon", "days", "blocks"), [("rolling_7d", 7, 7), ("rolling_91d", 91, 13)])
def test_a_week_has_seven_days_and_a_quarter_thirteen_weeks(
    database: Database, horizon: str, days: int, blocks: int
) -> None:
    """Lines of every block alike vary by nothing; of all in the first block, by the root of the others' number."""
    block = days // blocks
    for number in range(blocks):
        insert_lines(database, {"EVEN": 1}, days=number * block + 0.5)
    insert_lines(database, {"ONCE": 2}, days=days)
    insert_lines(database, {"BEFORE": 2}, days=days + 0.001)
    database.calculate("S1", AS_OF, horizon, trigger="test", now_ms=0, newest=False)
    rows = {row["sku"]: row for row in database.results("S1", AS_OF, horizon).to_pylist()}
    assert {sku: row["demand_cv"] for sku, row in rows.items()} == {
        "EVEN": 0.0,
        "ONCE": pytest.approx(math.sqrt(blocks - 1), abs=1e-12),
    }
    assert rows["ONCE"]["lines_per_day"] == 2 / days


COUNTS = [
    ([(5.0, None)], None),
    ([(-1.0, 4.0)], 0.75),
    ([(-1.0, 4.0), (1.0, 4.0)], 0.75),  # differences do not cancel out
    ([(9.0, 4.0)], 0.0),  # no lower
    ([(-1.0, 4.0), (50.0, None)], 0.75),  # what has no book quantity does not count
    ([(3.0, 0.0)], None),  # nothing was booked
    ([(3.0, 0.0), (0.0, 4.0)], 0.25),
    ([(5e8, 1e9)], 0.5),  # the largest that the intake lets through
]


@pytest.mark.parametrize(("counts", "accuracy"), COUNTS)
def test_inventory_accuracy(
    database: Database, counts: list[tuple[float, float | None]], accuracy: float | None
) -> None:
    """One minus the differences' share of what was booked."""
    events = [
        counted(f"E{n}", before(1), variance=variance, book_quantity=book) for n, (variance, book) in enumerate(counts)
    ]
    insert(database, Source.CYCLE_COUNTS, [*events, counted("OLD", before(31), variance=1.0, book_quantity=1.0)])
    row = rows(database)["A"]
    assert row["inventory_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert row["variance_units"] == sum(Decimal(variance) for variance, _ in counts)


def test_variances_and_book_quantities_are_converted(database: Database) -> None:
    """A missing case of 12 of 4 booked, and 4 extra pieces of 48: 16 of 96."""
    database.apply_reference(
        [Item(sku="A", uom="CS", base_units=Decimal(12)), Item(sku="A", uom="EA", base_units=Decimal(1))]
    )
    events = [
        counted("E1", before(1), uom="CS", variance=-1.0, book_quantity=4.0),
        counted("E2", before(1), variance=4.0, book_quantity=48.0),
    ]
    insert(database, Source.CYCLE_COUNTS, events)
    row = rows(database)["A"]
    assert (row["variance_units"], row["inventory_accuracy"]) == (Decimal(-8), pytest.approx(1 - 16 / 96))


def test_a_sku_is_provisional_until_14_days_after_its_first_fact_of_any_source(database: Database) -> None:
    """On the 14th day it is not any more; facts from before the horizon are remembered."""
    insert_lines(database, {"NEW": 1}, days=13.99)
    insert_lines(database, {"OLD": 1}, days=14)
    insert_lines(database, {"RETURNED": 1, "COUNTED": 1})
    insert(database, Source.RETURNS, [returned("R", before(100), sku="RETURNED")])
    insert(database, Source.CYCLE_COUNTS, [counted("C", before(200), sku="COUNTED")])
    assert column(database, "provisional") == {"NEW": True, "OLD": False, "RETURNED": False, "COUNTED": False}
    assert column(database, "first_seen")["COUNTED"] == before(200)


def test_facts_after_as_of_are_not_known_yet(database: Database) -> None:
    """Neither to the columns nor to the run id: looking back later gives what looking then gave."""
    insert_lines(database, {"A": 1})
    run_id = calculate(database)
    insert(database, Source.ORDERS, [order("LATER", rfc3339(AS_OF), sku="A"), order("B", rfc3339(AS_OF), sku="B")])
    assert calculate(database) == run_id
    assert len(database.runs()) == 1


def hours(first: float, last: float) -> list[Window]:
    """The hourly windows from `first` to `last` days before `as_of`."""
    starts = range(AS_OF - int(first * DAY_MS), AS_OF - int(last * DAY_MS), 3_600_000)
    return [Window(start, start + 3_600_000) for start in starts]


def test_coverage_is_the_share_of_complete_windows_since_the_sites_first_fact(database: Database) -> None:
    """The first fact is in the middle of an hour two days ago: 48 windows, and 12 of them are complete."""
    insert_lines(database, {"A": 1}, days=2 - 0.5 / 24)
    database.set_complete("S1", hours(3, 1.5))
    database.set_complete("S1", hours(3, 1.5))
    assert column(database, "coverage") == {"A": 12 / 48}
    assert database.complete_count("S1", AS_OF - 3 * DAY_MS, AS_OF) == 36
    assert database.complete_span("S1") == Window(AS_OF - 3 * DAY_MS, AS_OF - 3 * DAY_MS // 2)
    assert database.latest_complete_end("S1") == AS_OF - 3 * DAY_MS // 2
    assert database.latest_complete_end("S2") is None


def test_coverage_begins_with_the_horizon_for_an_old_site(database: Database) -> None:
    """However much was complete before; windows of another grid do not count."""
    insert_lines(database, {"A": 1}, days=50)
    insert_lines(database, {"A": 1})
    database.set_complete("S1", hours(50, 15))
    database.set_complete("S1", [Window(AS_OF - DAY_MS, AS_OF)])
    assert column(database, "coverage") == {"A": 0.5}


def test_the_same_inputs_are_the_same_run() -> None:
    """In another file, at another time, for another reason: the run id is the same, and nothing is done twice."""
    run_ids: set[str] = set()
    for trigger, now_ms in (("a", 1), ("b", 2)):
        with closing(open_database()) as database:
            insert_lines(database, {"A": 2, "B": 1})
            first = database.calculate("S1", AS_OF, trigger=trigger, now_ms=now_ms, newest=True)
            assert database.calculate("S1", AS_OF, trigger="again", now_ms=9, newest=True) == first
            assert len(database.runs()) == 1
            run_ids.add(first.run_id)
    assert len(run_ids) == 1


def test_whatever_decides_the_results_is_in_the_run_id() -> None:
    """A fact, a body, reference data, complete windows, the instant, the site, rules, zone and windows."""

    def run_id(*, as_of_ms: int = AS_OF, site_id: str = "S1", change: str = "", **options: Any) -> str:
        with closing(open_database(**options)) as database:
            insert_lines(database, {"A": 2})
            if change == "fact":
                insert_lines(database, {"B": 1})
            if change == "body":
                insert(database, Source.ORDERS, [order(f"A-1-{n}", before(1), order_id=f"O{n}") for n in range(2)])
            if change == "reference":
                database.apply_reference([Item(sku="X", uom="CS", base_units=Decimal(2))])
            if change == "complete":
                database.set_complete("S1", hours(1, 0))
            return calculate(database, as_of_ms, site_id)

    ids = [run_id(change=change) for change in ("", "fact", "body", "reference", "complete")]
    ids += [run_id(as_of_ms=AS_OF + 1), run_id(site_id="S2"), run_id(provisional_days=7), run_id(abc_a=0.7)]
    ids += [run_id(zone="Europe/London"), run_id(spec="PT30M")]
    assert len(set(ids)) == len(ids)


def test_the_definition_and_the_bounds_of_the_horizon_are_in_the_run_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the program may calculate otherwise; other zone data may move the horizon or its blocks."""

    def run_id() -> str:
        with closing(open_database()) as database:
            insert_lines(database, {"A": 2})
            return calculate(database)

    ids = [run_id()]
    with monkeypatch.context() as changed:
        changed.setattr(velocity, "DEFINITION", velocity.DEFINITION + 1)
        ids.append(run_id())
    start, bounds = Horizon.start, Horizon.block_bounds
    with monkeypatch.context() as changed:
        changed.setattr(Horizon, "start", lambda *given: start(*given) + 3_600_000)
        ids.append(run_id())
    with monkeypatch.context() as changed:
        changed.setattr(Horizon, "block_bounds", lambda *given: (0, *bounds(*given)[1:]))
        ids.append(run_id())
    assert len(set(ids)) == 4
    assert run_id() == ids[0]


def test_a_later_run_of_the_same_instant_replaces_the_results(database: Database) -> None:
    """The former run is remembered without them; when its inputs come back, so do they."""
    insert_lines(database, {"A": 1})
    database.apply_reference([Item(sku="A", uom="EA", base_units=Decimal(1))])
    first = calculate(database)
    database.apply_reference([Item(sku="A", uom="EA", base_units=Decimal(2))])
    second = calculate(database)
    assert column(database, "units_ordered") == {"A": 2}
    assert {run.run_id: run.current for run in database.runs()} == {first: False, second: True}
    database.apply_reference([Item(sku="A", uom="EA", base_units=Decimal(1))])
    assert calculate(database) == first
    assert database.results().select(["units_ordered", "run_id"]).to_pylist() == [
        {"units_ordered": Decimal(1), "run_id": first}
    ]


def test_results_are_those_of_each_sites_newest_instant_unless_asked_otherwise(database: Database) -> None:
    """Sorted by site and SKU."""
    insert_lines(database, {"B": 1, "A": 1})
    insert(database, Source.ORDERS, [order("E", before(2), site_id="S0")])
    for site_id, as_of_ms in (("S1", AS_OF), ("S1", AS_OF - DAY_MS), ("S0", AS_OF - DAY_MS)):
        calculate(database, as_of_ms, site_id)
    newest = database.results().select(["site_id", "sku", "as_of"]).to_pylist()
    assert [tuple(row.values()) for row in newest] == [
        ("S0", "A", before(1)),
        ("S1", "A", before(0)),
        ("S1", "B", before(0)),
    ]
    assert database.results("S1", AS_OF - DAY_MS).num_rows == 0, "nothing had happened by then"
    assert database.results("S0").num_rows == 1
    assert database.results("S9").num_rows == 0


def test_an_instant_is_written_with_milliseconds_where_it_has_some(database: Database) -> None:
    """RFC 3339 outside, whatever it is inside."""
    insert(database, Source.ORDERS, [order("E", "2011-05-20T01:02:03.045Z")])
    row = rows(database, AS_OF + 7)["A"]
    assert (row["as_of"], row["first_seen"]) == ("2011-05-31T00:00:00.007Z", "2011-05-20T01:02:03.045Z")


def test_only_known_horizons_can_be_asked_for(database: Database) -> None:
    """The message names them."""
    with pytest.raises(ValueError, match="rolling_30d"):
        database.calculate("S1", AS_OF, "rolling_8d", trigger="test", now_ms=0, newest=False)
