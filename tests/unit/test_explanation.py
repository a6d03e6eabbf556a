"""An explanation names every input of a coefficient, and its parts add up to it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hand_made import batch, counted, open_database, order, returned
from msgspec import structs

from batcher.database import Database
from console.explain_view import sections
from console.screen import plain_table
from schemas.instants import parse_rfc3339, rfc3339
from schemas.records import BatchKind
from schemas.reference import Channel, Item, Promotion, Season
from schemas.sources import Source

DAY_MS = 86_400_000
AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")
CHANNELS = ("web", "store", None)


def before(days: float) -> str:
    """An instant so many days before `AS_OF`."""
    return rfc3339(AS_OF - int(days * DAY_MS))


@pytest.fixture
def database() -> Iterator[Database]:
    with closing(open_database()) as opened:
        fill(opened)
        yield opened


def fill(database: Database) -> None:
    """Three SKUs by two channels over two months, one with a promotion; returns, counts, a held unit, a correction."""
    lines = [
        order(f"{sku}-{days}-{n}", before(days), sku=sku, channel=CHANNELS[n % 3])
        for sku, many in {"A": 7, "B": 4, "C": 1}.items()
        for days in (1, 5, 12, 20, 29.5)
        for n in range(many)
    ]
    held = [order("H1", before(2), sku="A", uom="PL", quantity=2.0)]
    insert(database, "on-time", BatchKind.ON_TIME, Source.ORDERS, [*lines, *held])
    insert(
        database,
        "late",
        BatchKind.CORRECTION,
        Source.ORDERS,
        [order("L1", before(15), sku="A", uom="CS", quantity=1.5)],
    )
    insert(database, "returns", BatchKind.ON_TIME, Source.RETURNS, [returned("R1", before(3), sku="A", quantity=2.0)])
    count = counted("N1", before(4), sku="A", variance=-1.0, book_quantity=50.0)
    insert(database, "counts", BatchKind.ON_TIME, Source.CYCLE_COUNTS, [count])
    database.apply_reference(
        [
            Item(sku="A", uom="EA", base_units=Decimal(1)),
            Item(sku="A", uom="CS", base_units=Decimal(12)),
            Channel(channel="web", weight=Decimal("0.7")),
            Channel(channel="store", site_id="S1", weight=Decimal("1.1"), valid_from=parse_rfc3339(before(10))),
            Season(month=5, index=Decimal("1.3")),
            Season(month=6, sku="A", index=Decimal("0.8")),
            Promotion(promo_id="MAY", sku="A", start=parse_rfc3339(before(13)), uplift=Decimal("1.7")),
        ]
    )


def insert(database: Database, batch_id: str, kind: BatchKind, source: Source, events: list[dict[str, Any]]) -> None:
    manifest, file = batch(source, *events, batch_id=batch_id)
    database.insert_batch(structs.replace(manifest, kind=kind), file, partition=0, offset=0)


def explained(database: Database, sku: str, as_of_ms: int = AS_OF) -> dict[str, Any]:
    run = database.calculate("S1", as_of_ms, trigger="test", now_ms=0, newest=False)
    explanation = database.explain(run, sku)
    assert explanation is not None
    return explanation


@pytest.mark.parametrize("sku", ["A", "B", "C"])
def test_the_parts_add_up_to_the_coefficient_exactly(database: Database, sku: str) -> None:
    """Lines times what each counts, over all factors, divided by the days; lines, units and facts likewise."""
    told = explained(database, sku)
    result = told["result"]
    assert told["up_to_date"] is True
    assert all(row["lines"] * row["line"] == row["normalized_lines"] for row in told["factors"])
    total = sum(row["normalized_lines"] for row in told["factors"])
    assert total == result["normalized_lines"]
    assert float(total) / told["days"] == result["velocity_coefficient"]
    assert sum(row["lines"] for row in told["factors"]) == result["order_lines"]
    units = {source: sum(row["units"] for row in told["conversions"] if row["source"] == source) for source in Source}
    assert units[Source.ORDERS] == result["units_ordered"]
    assert units[Source.RETURNS] == result["units_returned"]
    facts = sum(row["facts"] for row in (*told["conversions"], *told["held"]))
    assert facts == sum(row["facts"] for row in told["batches"])


@pytest.mark.parametrize("sku", ["A", "B", "C"])
def test_each_factor_is_that_of_the_reference_row_it_names(database: Database, sku: str) -> None:
    """And a line counts weight / (season index x uplift), 1 where nothing is named."""
    known = {
        "channel/S1/store/2011-05-21T00:00:00Z": Decimal("1.1"),
        "channel//web/": Decimal("0.7"),
        "season///5/": Decimal("1.3"),
        "promotion/MAY//A/2011-05-18T00:00:00Z": Decimal("1.7"),
    }
    named: set[str] = set()
    for row in explained(database, sku)["factors"]:
        pairs = [(row[f"{name}_key"], row[value]) for name, value in NAMED]
        assert all(known[key] == value if key else value is None for key, value in pairs)
        weight, index, uplift = (value or Decimal(1) for _, value in pairs)
        assert row["line"] == round(weight / (index * uplift), 9)
        named |= {key for key, _ in pairs if key}
    missing = {"A": (), "B": ("MAY",), "C": ("MAY", "store")}[sku]  # all lines of C came by the web
    assert named == {key for key in known if not any(part in key for part in missing)}


NAMED = (("weight", "weight"), ("season", "season_index"), ("promotion", "uplift"))


def test_the_season_ahead_is_that_of_the_days_from_the_instant(database: Database) -> None:
    """One day of May and 29 of June for A; nothing but May is known of B."""
    told = explained(database, "A")
    assert [(row["days"], row["season_index"]) for row in told["seasons_ahead"]] == [
        (1, Decimal("1.3")),
        (29, Decimal("0.8")),
    ]
    mean = (Decimal("1.3") + 29 * Decimal("0.8")) / 30
    assert told["result"]["forward_lines"] == round(told["result"]["normalized_lines"] * mean, 9)
    assert [row["days"] for row in explained(database, "B")["seasons_ahead"]] == [1]


def test_held_facts_corrections_and_batches_are_named(database: Database) -> None:
    """The pallet that no row converts, the case that came late, and where all facts are from."""
    told = explained(database, "A")
    assert [(row["source"], row["uom"], row["facts"]) for row in told["held"]] == [("orders", "PL", 1)]
    assert ("orders", "CS", Decimal(12), 1, Decimal(18)) in [
        (row["source"], row["uom"], row["base_units"], row["facts"], row["units"]) for row in told["conversions"]
    ]
    assert told["corrections"] == 1
    assert {row["batch_id"]: row["facts"] for row in told["batches"]} == {
        "on-time": 36,
        "late": 1,
        "returns": 1,
        "counts": 1,
    }


def test_the_demand_that_a_class_needs_is_where_it_begins(database: Database) -> None:
    """
    lines          80   10   6   4       the class A ends at a share of 0.80, B at 0.95
    X              behind 80 of 90 others it is an A above 80 / 0.8 - 90 = 10 lines
    """
    with closing(open_database()) as plain:
        lines = {"W": 80, "X": 10, "Y": 6, "Z": 4}
        events = [order(f"{sku}{n}", before(1), sku=sku) for sku, many in lines.items() for n in range(many)]
        plain.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)
        found = {sku: explained(plain, sku)["standing"] for sku in lines}
    assert {sku: (row["rank"], row["share_before"]) for sku, row in found.items()} == {
        "W": (1, 0.0),
        "X": (2, 0.8),
        "Y": (3, 0.9),
        "Z": (4, 0.96),
    }
    a_and_b = {sku: [round(row["distance"], 6) for row in standing["thresholds"]] for sku, standing in found.items()}
    assert a_and_b["X"] == [0.0, 6.0], "just no A; a B as long as it has more than Z"
    assert a_and_b["W"] == [76.0, round(80 - (20 / 0.95 - 20), 6)], "an A as long as it has more than Z, a B even last"
    assert a_and_b["Z"][1] == round(4 - (96 / 0.95 - 96), 6) < 0, "a B with 1.05 more"


def test_classes_that_differ_say_why() -> None:
    """How long it has been so, and what would change it."""
    with closing(open_database(class_margin=0.1, class_runs=3)) as database:
        for day, (big, x) in enumerate(((79, 21), (10, 0))):
            at = rfc3339(AS_OF + (day - 2) * DAY_MS)
            events = [order(f"{sku}{day}{n}", at, sku=sku) for sku, many in (("W", big), ("X", x)) for n in range(many)]
            database.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)
        explained(database, "X", AS_OF - DAY_MS)
        classes = explained(database, "X")["classes"]
    assert (classes["abc_class"], classes["stable_class"], classes["pending_runs"]) == ("B", "A", 1)
    assert "B for 1 of 3 runs" in classes["reason"]
    assert "reaches 0.88, or after 2 more such runs" in classes["reason"]


def test_what_changed_since_the_run_before_is_told(database: Database) -> None:
    """Lines that came, lines that the horizon left behind, and what a correction in between added."""
    explained(database, "A", AS_OF - DAY_MS)
    insert(database, "later", BatchKind.CORRECTION, Source.ORDERS, [order("L2", before(8), sku="A")])
    previous = explained(database, "A")["previous"]
    assert previous["as_of"] == before(1)
    assert (previous["lines_entered"], previous["lines_left"], previous["lines_corrected"]) == (7, 0, 1)
    assert previous["changes"]["order_lines"] == {"before": 29, "after": 37}
    assert previous["reference_changed"] is False
    assert explained(database, "A", AS_OF - 10 * DAY_MS)["previous"] is None


def test_facts_that_came_since_are_said_to_have_come(database: Database) -> None:
    """The parts are those of now, the result is that of then."""
    run = database.calculate("S1", AS_OF, trigger="test", now_ms=0, newest=False)
    insert(database, "later", BatchKind.CORRECTION, Source.ORDERS, [order("L2", before(8), sku="A")])
    told = database.explain(run, "A")
    assert told is not None
    assert told["up_to_date"] is False
    assert "have changed since" in next(sections(told)).text


def test_a_sku_without_a_row_is_not_explained(database: Database) -> None:
    """Neither is one of a run that another has replaced."""
    run = database.calculate("S1", AS_OF, trigger="test", now_ms=0, newest=False)
    assert database.explain(run, "NONE") is None
    assert database.explain(replace(run, run_id="0" * 64), "A") is None


def test_a_person_reads_it_from_top_to_bottom(database: Database) -> None:
    """The answer, the factors with their rows, units, season, rank, class, batches, and the run before."""
    explained(database, "A", AS_OF - DAY_MS)
    shown = list(sections(explained(database, "A")))
    assert [section.title.split(":")[0].split(" of ")[0] for section in shown] == [
        "A at S1, rolling_30d",
        "Order lines",
        "Units",
        "Season ahead",
        "Rank 1",
        "Class A, stable class A",
        "From 4 batches",
        "Since the run",
    ]
    text = "\n".join(line for section in shown for line in plain_table(section.columns, section.rows, section.title))
    assert "promotion/MAY//A/2011-05-18T00:00:00Z" in text
    assert "held" in text
