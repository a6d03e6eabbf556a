"""What people look at of a run and of the catalogue: figures that a reader can add up by hand."""

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hand_made import batch, open_database, order, returned

from batcher.database import Database
from batcher.insight.catalogue import BatchPage, batch_page, find_batch, window_sources
from batcher.insight.classes import SkuPage, sku_page, summary
from batcher.insight.sku_days import sku_days
from batcher.insight.window_grid import CellState, window_grid
from batcher.runs import Run
from schemas.instants import parse_rfc3339, rfc3339
from schemas.records import Counts, Frontier, OpenWindow, Window
from schemas.sources import Source

DAY_MS = 86_400_000
AS_OF = parse_rfc3339("2026-03-31T00:00:00Z")
BERLIN = ZoneInfo("Europe/Berlin")


def before(days: float) -> str:
    return rfc3339(AS_OF - int(days * DAY_MS))


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """SKU A was picked 8 times, B 3 times and C once, of which A alone was there a day before; A came back once."""
    with closing(open_database()) as opened:
        counts = {"A": 4, "B": 3, "C": 1}
        late = [order(f"{sku}-{n}", before(0.5), sku=sku) for sku, many in counts.items() for n in range(many)]
        early = [order(f"A-early-{n}", before(5.5), quantity=2.0) for n in range(4)]
        for source, batch_id, events in (
            (Source.ORDERS, "early", early),
            (Source.ORDERS, "late", late),
            (Source.RETURNS, "back", [returned("R1", before(0.4), quantity=1.0)]),
        ):
            manifest, file = batch(source, *events, batch_id=batch_id)
            opened.insert_batch(manifest, file, partition=0, offset=0)
        yield opened


@pytest.fixture(scope="module")
def run(database: Database) -> Run:
    """The newest of two runs, a day apart."""
    database.calculate("S1", AS_OF - DAY_MS, trigger="test", now_ms=0, newest=False)
    return database.calculate("S1", AS_OF, trigger="test", now_ms=1, newest=False)


def told(database: Database, run: Run) -> dict[str, Any]:
    return database.ask_snapshot(lambda connection: summary(connection, run, "normalized_lines", 2))


def test_the_matrix_counts_every_sku_and_pick_once(database: Database, run: Run) -> None:
    """Its cells add up to the run's SKUs, and to the 12 order lines."""
    matrix = told(database, run)["matrix"]
    assert sum(cell["skus"] for cell in matrix) == run.skus == 3
    assert sum(cell["picks"] for cell in matrix) == 12


def test_a_pareto_curve_ends_at_all_of_the_demand(database: Database, run: Run) -> None:
    """A has 8 of 12 lines, B 3 more."""
    curve = told(database, run)["pareto"]
    shares = [(point["rank"], round(point["demand_share"], 6)) for point in curve]
    assert shares == [(1, 0.666667), (2, 0.916667), (3, 1.0)]
    assert curve[-1]["sku_share"] == 1.0


def test_migration_and_movers_compare_with_the_run_before(database: Database, run: Run) -> None:
    """B and C are new; A went from 4 lines in 30 days to 8; only the most moved are named."""
    found = told(database, run)
    assert found["former"]["as_of"] == before(1)
    assert sum(row["skus"] for row in found["migration"]) == 3
    assert sum(row["skus"] for row in found["migration"] if row["before"] is None) == 2
    assert [(row["sku"], round(row["change"] * 30)) for row in found["movers"]] == [("A", 4), ("B", 3)]
    assert [row["sku"] for row in found["fastest"]] == ["A", "B"]


def test_without_a_run_before_nothing_has_moved(database: Database, run: Run) -> None:
    """The first run has no former, and says so instead of calling every SKU new."""
    first = database.newest_run("S1", "rolling_30d", run.as_of_ms - 1)
    assert first is not None
    found = told(database, first)
    assert (found["former"], found["migration"], found["movers"]) == (None, [], [])


@pytest.mark.parametrize(
    ("page", "skus", "total"),
    [
        (SkuPage(), ["A", "B", "C"], 3),
        (SkuPage(order="velocity", descending=False), ["C", "B", "A"], 3),
        (SkuPage(order="sku", limit=1, offset=1, descending=False), ["B"], 3),
        (SkuPage(search="B"), ["B"], 1),
        (SkuPage(search="' OR 1=1 --"), [], 0),
        (SkuPage(abc="A"), ["A", "B"], 2),
        (SkuPage(abc="B"), ["C"], 1),
        (SkuPage(offset=10), [], 3),
    ],
)
def test_skus_come_by_page(database: Database, run: Run, page: SkuPage, skus: list[str], total: int) -> None:
    """Searched, filtered, sorted and cut by the database; the total is that of all pages."""
    found = database.ask_snapshot(lambda connection: sku_page(connection, run, page))
    assert ([row["sku"] for row in found["rows"]], found["total"]) == (skus, total)


def test_no_column_but_the_listed_ones_is_sorted_by(database: Database, run: Run) -> None:
    """What is sorted by is SQL, so nothing from outside gets there."""
    with pytest.raises(KeyError):
        database.ask_snapshot(lambda connection: sku_page(connection, run, SkuPage(order="1; DROP TABLE runs")))


def test_a_skus_days_add_up_to_its_result(database: Database, run: Run) -> None:
    """30 days, also over the change of clocks on 29 March in Berlin; each fact on one of them."""
    found = database.ask_snapshot(lambda c: sku_days(c, run, "A", BERLIN, require_known_items=False))
    days = found["days"]
    assert len(days) == 30
    assert all(one["end"] == following["start"] for one, following in pairwise(days))
    assert [day["lines"] for day in days if day["lines"]] == [4, 4]
    assert (sum(day["ordered"] for day in days), sum(day["returned"] for day in days)) == (12, 1)
    assert [row["as_of"] for row in found["history"]] == [before(1), before(0)]


def test_the_catalogue_comes_by_page_the_newest_first(database: Database) -> None:
    """And a batch by its id, with the runs over its events."""

    def ids(**wanted: Any) -> tuple[list[str], int]:
        found = database.ask_snapshot(lambda c: batch_page(c, BatchPage("S1", **wanted)))
        return [row["batch_id"] for row in found["rows"]], found["total"]

    assert ids() == (["back", "late", "early"], 3)
    assert ids(limit=1, offset=1) == (["late"], 3)
    assert ids(source="orders", search="a") == (["late", "early"], 2)
    assert ids(kind="on_time") == ([], 0)
    found = database.ask_snapshot(lambda c: find_batch(c, "late"))
    assert found is not None and [run["as_of"] for run in found["runs"]] == [before(0)]
    assert database.ask_snapshot(lambda c: find_batch(c, "../late")) is None


def test_a_grid_says_of_each_window_and_source_how_it_stands(database: Database) -> None:
    """Complete by the site's span, open where a partition still gathers, closed where only others are missing."""
    rows = database.ask(lambda connection: window_sources(connection, "S1", 10))
    late = Window(parse_rfc3339(before(0.5)), parse_rfc3339(before(0.5)) + 1)
    early = Window(parse_rfc3339(before(5.5)), parse_rfc3339(before(5.5)) + 1)
    coming = Window(AS_OF, AS_OF + 3_600_000)
    grid = window_grid("S1", rows, [frontier(coming), frontier(coming, site="S2")], early, 3)
    assert [row.start for row in grid] == [rfc3339(AS_OF), before(0.4), before(0.5)]
    states = {row.start: {cell.source: cell.state for cell in row.cells} for row in grid}
    assert states[rfc3339(AS_OF)]["orders"] is CellState.OPEN
    others = {"returns": CellState.EMPTY, "cycle-counts": CellState.EMPTY}
    assert states[rfc3339(late.start)] == {"orders": CellState.CLOSED, **others}
    assert grid[0].cells[0].open_records == 5 and not grid[0].complete
    assert grid[2].cells[0].corrections == 1
    whole = window_grid("S1", rows, [], Window(early.start, late.end), 9)[-1]
    assert whole.complete and {cell.state for cell in whole.cells} == {CellState.COMPLETE}


def frontier(window: Window, site: str = "S1") -> Frontier:
    opened = OpenWindow(site_id=site, start=window.start, end=window.end, first_offset=0, count=5, offsets_hash="0")
    return Frontier(
        source=Source.ORDERS,
        source_topic="t",
        source_partition=0,
        topic_id="i",
        checkpoint_seq=1,
        position=5,
        frontier=window.start,
        max_event_time=window.start,
        committed=0,
        settings_hash="h",
        manifests={},
        open_windows=(opened,),
        counts=Counts(delivered=5),
        worker_id="w",
        pipeline_version="0",
        checkpoint_at=0,
    )
