"""What a quantity is in base units, when, and which facts have to wait for it."""

from collections.abc import Iterator
from contextlib import closing
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hand_made import batch, counted, open_database, order, returned

from batcher.database import Database
from schemas.instants import parse_rfc3339
from schemas.reference import Channel, Item, Promotion, Season
from schemas.sources import Source

AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")


@pytest.fixture
def database() -> Iterator[Database]:
    with closing(open_database()) as opened:
        yield opened


def item(sku: str, uom: str, base_units: str, valid_from: str | None = None) -> Item:
    since = parse_rfc3339(valid_from) if valid_from else None
    return Item(sku=sku, uom=uom, base_units=Decimal(base_units), valid_from=since)


def insert_orders(database: Database, *events: dict[str, object]) -> int:
    """Inserts them; how many are held."""
    return database.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0).held


def units_ordered(database: Database) -> dict[str, Decimal]:
    database.calculate("S1", AS_OF, trigger="test", now_ms=0, newest=False)
    table = database.results()
    return dict(zip(table.column("sku").to_pylist(), table.column("units_ordered").to_pylist(), strict=True))


def held_reasons(database: Database) -> dict[str, str]:
    return {row["event_id"]: row["reason"] for row in database.held().to_pylist()}


def test_a_piece_of_an_item_that_is_not_listed_is_one(database: Database) -> None:
    """`EA` needs no row; any other unit does."""
    held = insert_orders(
        database, order("E1", "2011-05-20T00:00:00Z", quantity=3.0), order("E2", "2011-05-20T00:00:00Z", uom="CS")
    )
    assert held == 1
    assert units_ordered(database) == {"A": Decimal(3)}
    assert held_reasons(database) == {"E2": "item is not listed"}


def test_a_listed_item_has_the_units_of_its_rows_and_no_others(database: Database) -> None:
    """Not even `EA`: its base unit may be another."""
    database.apply_reference([item("A", "KGM", "1"), item("A", "BX", "2.5")])
    insert_orders(
        database,
        order("E1", "2011-05-20T00:00:00Z", uom="KGM", quantity=0.125),
        order("E2", "2011-05-20T00:00:00Z", uom="BX", quantity=2.0),
        order("E3", "2011-05-20T00:00:00Z", uom="EA"),
        order("E4", "2011-05-20T00:00:00Z", uom="PL"),
    )
    assert units_ordered(database) == {"A": Decimal("5.125")}
    assert held_reasons(database) == dict.fromkeys(("E3", "E4"), "item has no row for this unit")


def test_a_unit_is_valid_from_its_instant_until_the_next_one(database: Database) -> None:
    """
      always: 12      10 May: 10       20 May: 8
    |---------------|----------------|-----------
              E1    E2           E3  E4       E5
    """
    times = ("09T23:59:59.999", "10T00:00:00", "19T23:59:59.999", "20T00:00:00", "25T00:00:00")
    events = [order(f"E{n}", f"2011-05-{time}Z", sku=f"A{n}", uom="CS") for n, time in enumerate(times, 1)]
    database.apply_reference(
        [
            item(f"A{n}", "CS", units, since)
            for n in range(1, 6)
            for units, since in (("8", "2011-05-20T00:00:00Z"), ("12", None), ("10", "2011-05-10T00:00:00Z"))
        ]
    )
    insert_orders(database, *events)
    assert units_ordered(database) == {"A1": 12, "A2": 10, "A3": 10, "A4": 8, "A5": 8}


def test_a_fact_before_the_first_validity_of_its_unit_is_held(database: Database) -> None:
    """Of `EA` too, once the item is listed."""
    database.apply_reference([item("A", uom, "1", "2011-05-20T00:00:00Z") for uom in ("EA", "CS")])
    insert_orders(
        database,
        order("E1", "2011-05-19T23:59:59.999Z"),
        order("E2", "2011-05-19T23:59:59.999Z", uom="CS"),
        order("E3", "2011-05-20T00:00:00Z"),
    )
    assert held_reasons(database) == dict.fromkeys(("E1", "E2"), "unit is not valid yet")
    assert units_ordered(database) == {"A": Decimal(1)}


def test_a_held_fact_is_in_no_column_until_its_row_arrives(database: Database) -> None:
    """A SKU that has held facts only has no row; with the reference row it has all of it, its first fact too."""
    insert_orders(database, order("E1", "2011-05-02T00:00:00Z", uom="CS"), order("E2", "2011-05-20T00:00:00Z", sku="B"))
    assert units_ordered(database) == {"B": 1}
    change = database.apply_reference([item("A", "CS", "24")])
    assert (change.rows, change.skus, change.sites) == (1, {"A"}, {"S1"})
    assert units_ordered(database) == {"A": 24, "B": 1}
    assert database.results().column("first_seen").to_pylist()[0] == "2011-05-02T00:00:00Z"
    assert database.held().num_rows == 0


def test_a_retroactive_row_converts_anew_and_what_it_lists_is_listed(database: Database) -> None:
    """Ten cases of 6 become ten of 8; singles of an item that gets its first row are singles no more without one."""
    database.apply_reference([item("A", "CS", "6")])
    insert_orders(
        database,
        order("E1", "2011-05-20T00:00:00Z", uom="CS", quantity=10.0),
        order("E2", "2011-05-20T00:00:00Z", sku="B", quantity=5.0),
    )
    assert units_ordered(database) == {"A": 60, "B": 5}
    database.apply_reference([item("A", "CS", "8", "2011-05-19T00:00:00Z"), item("B", "CS", "6")])
    assert units_ordered(database) == {"A": 80}
    assert held_reasons(database) == {"E2": "item has no row for this unit"}


def test_with_known_items_required_a_piece_of_an_unknown_one_is_held() -> None:
    """The setting leaves no item out of the reference data unnoticed."""
    with closing(open_database(require_known_items=True)) as database:
        database.apply_reference([item("A", "EA", "1")])
        held = insert_orders(
            database, order("E1", "2011-05-20T00:00:00Z"), order("E2", "2011-05-20T00:00:00Z", sku="B")
        )
        assert held == 1
        assert held_reasons(database) == {"E2": "item is not listed"}
        assert units_ordered(database) == {"A": 1}


TIES = [
    ("0.5", "0.333", "0.166"),  # 0.1665: the even neighbour is below
    ("1.5", "0.333", "0.500"),  # 0.4995: the even neighbour is above
    ("0.001", "0.5", "0.000"),
    ("0.003", "0.5", "0.002"),
    ("0.005", "0.5", "0.002"),
    ("0.001", "0.500001", "0.001"),  # just above a half
    ("999999999.999", "999999.999999", "999999999998000.000"),  # as large as it gets
    ("2.5", "960", "2400.000"),
]


@pytest.mark.parametrize(("quantity", "base_units", "expected"), TIES)
def test_base_units_are_exact_and_rounded_half_even(
    database: Database, quantity: str, base_units: str, expected: str
) -> None:
    """For orders, returns, and counts of either sign."""
    exact = (Decimal(quantity) * Decimal(base_units)).quantize(Decimal("0.001"), ROUND_HALF_EVEN)
    assert exact == Decimal(expected), "the table above is right"
    at, amount = "2011-05-20T00:00:00Z", float(quantity)
    database.apply_reference([item("A", "CS", base_units)])
    batches = [
        batch(Source.ORDERS, order("E", at, uom="CS", quantity=amount)),
        batch(Source.RETURNS, returned("E", at, uom="CS", quantity=amount)),
        batch(Source.CYCLE_COUNTS, counted("E", at, uom="CS", variance=-amount)),
    ]
    for manifest, file in batches:
        database.insert_batch(manifest, file, partition=0, offset=0)
    database.calculate("S1", AS_OF, trigger="test", now_ms=0, newest=False)
    (row,) = database.results().to_pylist()
    assert [row["units_ordered"], row["units_returned"], row["variance_units"]] == [exact, exact, -exact]


def test_terms_are_rounded_before_they_are_summed(database: Database) -> None:
    """Three times 0.1665 is 0.166 each, 0.498 in all, and not 0.4995 rounded."""
    database.apply_reference([item("A", "BX", "0.333")])
    insert_orders(database, *[order(f"E{n}", "2011-05-20T00:00:00Z", uom="BX", quantity=0.5) for n in range(3)])
    assert units_ordered(database) == {"A": Decimal("0.498")}


def test_reference_data_has_one_hash_whatever_order_it_came_in() -> None:
    """Run ids tell reference data apart by its content alone; a value that is written otherwise is the same value."""
    records = [
        item("A", "CS", "6"),
        item("A", "CS", "8", "2011-05-19T00:00:00Z"),
        Promotion(promo_id="P", uplift=Decimal("1.2")),
        Channel(channel="web", weight=Decimal(0)),
        Season(sku="A", month=3, index=Decimal("1.5")),
    ]
    hashes: set[str] = set()
    for sequence in (
        records,
        records[::-1],
        [item("A", "CS", "7"), *records],
        [item("A", "CS", "6.000"), *records[1:]],
    ):
        with closing(open_database()) as database:
            for record in sequence:
                database.apply_reference([record])
            hashes.add(database.calculate("S1", AS_OF, trigger="test", now_ms=0, newest=False).reference_hash)
    assert len(hashes) == 1


def test_reference_records_that_say_nothing_new_change_nothing(database: Database) -> None:
    """Of several records under one key the last one counts, within a call and across calls."""
    insert_orders(database, order("E1", "2011-05-20T00:00:00Z", uom="CS"))
    database.apply_reference([item("A", "CS", "6"), item("A", "CS", "9")])
    assert database.apply_reference([item("A", "CS", "9.0")]).sites == frozenset()
    assert units_ordered(database) == {"A": 9}
