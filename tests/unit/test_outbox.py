"""What is published: what the newest run changes, and nothing twice."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest
from hand_made import batch, counted, open_database, order

from batcher import outbox
from batcher.database import Database
from schemas.coefficients import (
    Coefficient,
    coefficient_key,
    decode_coefficient,
    encode_coefficient,
    parse_coefficient_key,
)
from schemas.instants import parse_rfc3339, rfc3339
from schemas.reference import Item
from schemas.sources import Source

DAY_MS = 86_400_000
AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")
ALL = 1_000


@pytest.fixture
def database() -> Iterator[Database]:
    with closing(open_database()) as opened:
        yield opened


@pytest.fixture(params=[1, 20_000], autouse=True)
def portion(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the topic holds is taken row by row, or all at once: nothing else may be different."""
    monkeypatch.setattr(outbox, "_PORTION", request.param)


def insert_order(database: Database, sku: str, *, days: float, partition: int = 0, site_id: str = "S1") -> None:
    """An order of `sku` so many days before `AS_OF`."""
    at = rfc3339(AS_OF - int(days * DAY_MS))
    event = order(f"{sku}-{days}", at, sku=sku, site_id=site_id)
    database.insert_batch(*batch(Source.ORDERS, event), partition=partition, offset=0)


def calculate(database: Database, days_later: float = 0, *, newest: bool = True, site_id: str = "S1") -> None:
    as_of_ms = AS_OF + int(days_later * DAY_MS)
    database.calculate(site_id, as_of_ms, trigger="test", now_ms=0, newest=newest)


def drain(database: Database, partition: int = 0) -> dict[str, Coefficient | None]:
    """Publishes all that is due: SKU → coefficient, None for a tombstone."""
    due = database.outbox(partition, ALL)
    if due:
        database.acknowledge_outbox(partition, due[-1].seq)
    assert database.outbox(partition, ALL) == []
    return {parse_coefficient_key(row.key)[2]: row.value and decode_coefficient(row.value) for row in due}


def test_the_first_run_publishes_every_row_as_the_results_have_it(database: Database) -> None:
    """Under `site/horizon/sku`, decimals as numbers."""
    insert_order(database, "A/1", days=1)
    insert_order(database, "B", days=2)
    at = rfc3339(AS_OF - DAY_MS)
    database.insert_batch(
        *batch(Source.CYCLE_COUNTS, counted("C", at, sku="B", variance=0.125, book_quantity=8.0)), partition=0, offset=1
    )
    calculate(database)
    due = database.outbox(0, ALL)
    assert [row.key for row in due] == ["S1/rolling_30d/A/1", "S1/rolling_30d/B"]
    results = [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in database.results().to_pylist()
    ]
    published = [decode_coefficient(row.value or "") for row in due]
    assert published == [Coefficient(**row) for row in results]
    assert [coefficient.key for coefficient in published] == [row.key for row in due]


def test_a_coefficient_survives_the_wire(database: Database) -> None:
    """Also through our own encoder, whose bytes are those of the database."""
    insert_order(database, "A", days=1)
    calculate(database)
    (row,) = database.outbox(0, ALL)
    assert encode_coefficient(decode_coefficient(row.value or "")).decode() == row.value
    assert parse_coefficient_key(coefficient_key("S", "h", "a/b")) == ("S", "h", "a/b")


def test_a_run_that_changes_no_row_publishes_nothing(database: Database) -> None:
    """An hour later `as_of` and run id are others, but nothing else is."""
    insert_order(database, "A", days=10)
    calculate(database)
    assert list(drain(database)) == ["A"]
    calculate(database, 1 / 24)
    assert drain(database) == {}


def test_only_rows_that_changed_are_published(database: Database) -> None:
    """One more line of B: the class of A, the older SKU, stays as it is."""
    for sku, days in (("A", 10), ("A", 11), ("A", 12), ("B", 10)):
        insert_order(database, sku, days=days)
    calculate(database)
    assert len(drain(database)) == 2
    insert_order(database, "B", days=11)
    calculate(database)
    changed = drain(database)
    assert {sku: found and found.order_lines for sku, found in changed.items()} == {"B": 2}


def test_a_sku_that_leaves_gets_zeros_then_a_tombstone_then_nothing(database: Database) -> None:
    """
    days after as_of   0    6           7          8
    run                A B  A B         A          A
    published          A B  (nothing)   B zeros    B tombstone
    """
    insert_order(database, "A", days=-10)
    insert_order(database, "A", days=10)
    insert_order(database, "B", days=24)
    calculate(database)
    assert set(drain(database)) == {"A", "B"}
    calculate(database, 7)
    zeros = drain(database)["B"]
    assert zeros
    assert zeros.as_of == rfc3339(AS_OF + 7 * DAY_MS)
    assert zeros.run_id == database.runs()[0].run_id
    assert (zeros.abc_class, zeros.xyz_class, zeros.demand_cv, zeros.inventory_accuracy) == ("C", "Z", None, None)
    assert (zeros.first_seen, zeros.provisional) == (rfc3339(AS_OF - 24 * DAY_MS), False)
    numbers = ("order_lines", "units_ordered", "units_returned", "net_units", "lines_per_day", "units_per_day")
    numbers += ("normalized_lines", "velocity_coefficient", "variance_units")
    assert {getattr(zeros, name) for name in numbers} == {0}
    calculate(database, 8)
    assert drain(database)["B"] is None
    calculate(database, 9)
    assert "B" not in drain(database)


@pytest.mark.parametrize("runs_without", [[7], [7, 8]])
def test_a_sku_that_comes_back_is_published_again(database: Database, runs_without: list[int]) -> None:
    """After its zeros, and after its tombstone."""
    insert_order(database, "B", days=24)
    calculate(database, 6)
    for days in runs_without:
        calculate(database, days)
    assert len(database.outbox(0, ALL)) == 1 + len(runs_without)
    drain(database)
    insert_order(database, "B", days=-8.5)
    calculate(database, 9)
    back = drain(database)["B"]
    assert back
    assert back.order_lines == 1


def test_an_older_instant_is_not_published(database: Database) -> None:
    """Nor is one that is not asked to be, as the recalculation of a past month is not."""
    insert_order(database, "A", days=1)
    calculate(database, newest=False)
    assert drain(database) == {}
    calculate(database)
    assert set(drain(database)) == {"A"}
    insert_order(database, "B", days=3)
    calculate(database, -1)
    assert drain(database) == {}


def test_the_same_run_again_publishes_nothing(database: Database) -> None:
    """Whether what it published was taken already or not."""
    insert_order(database, "A", days=1)
    calculate(database)
    due = database.outbox(0, ALL)
    calculate(database)
    assert database.outbox(0, ALL) == due
    drain(database)
    calculate(database)
    assert drain(database) == {}


def test_inputs_that_come_back_are_published_again(database: Database) -> None:
    """Reference data is corrected, and then restored: the run is an old one, but it is not what is published."""
    insert_order(database, "A", days=1)
    units: list[float] = []
    for base_units in (1, 2, 1):
        database.apply_reference([Item(sku="A", uom="EA", base_units=Decimal(base_units))])
        calculate(database)
        published = drain(database)["A"]
        assert published
        units.append(published.units_ordered)
    assert units == [1.0, 2.0, 1.0]


def test_each_partition_has_an_outbox_of_its_own(database: Database) -> None:
    """What one owner takes does not disappear from the other's; rows are taken in order, as many as wanted."""
    for sku in "ABC":
        insert_order(database, sku, days=1, partition=3)
    insert_order(database, "D", days=1, partition=4, site_id="S2")
    calculate(database)
    calculate(database, site_id="S2")
    first, second = database.outbox(3, 2)
    assert first.seq < second.seq
    database.acknowledge_outbox(3, second.seq)
    database.acknowledge_outbox(4, second.seq)
    assert [row.key for row in database.outbox(3, ALL)] == ["S1/rolling_30d/C"]
    assert [row.key for row in database.outbox(4, ALL)] == ["S2/rolling_30d/D"]


def topic(database: Database) -> dict[str, bytes | None]:
    """What the topic holds once all that is due has been published."""
    return {row.key: row.value.encode() if row.value else None for row in database.outbox(0, ALL)}


def test_after_a_rebuild_only_what_the_topic_lacks_is_due(database: Database) -> None:
    """The former owner got as far as one of three rows; whether the topic is read before the run or after it."""
    for sku in "ABC":
        insert_order(database, sku, days=1)
    calculate(database)
    whole = topic(database)
    half = {"S1/rolling_30d/A": whole["S1/rolling_30d/A"]}
    database.set_baseline(0, half)
    assert set(drain(database)) == {"B", "C"}
    with closing(open_database()) as rebuilt:
        rebuilt.set_baseline(0, half)
        for sku in "ABC":
            insert_order(rebuilt, sku, days=1)
        calculate(rebuilt)
        assert set(drain(rebuilt)) == {"B", "C"}
        rebuilt.set_baseline(0, whole)
        assert drain(rebuilt) == {}


def test_what_the_topic_holds_but_no_run_has_goes_the_way_of_all_skus(database: Database) -> None:
    """Zeros, then a tombstone; what is no coefficient at once; a tombstone is nothing."""
    insert_order(database, "A", days=1)
    insert_order(database, "B", days=1)
    calculate(database)
    held = topic(database)
    with closing(open_database()) as rebuilt:
        rebuilt.set_baseline(0, {**held, "S1/rolling_30d/X": b"what?", "S1/rolling_30d/Y": None})
        insert_order(rebuilt, "A", days=1)
        calculate(rebuilt)
        due = drain(rebuilt)
        assert set(due) == {"B", "X"}
        assert due["X"] is None
        assert due["B"]
        assert due["B"].order_lines == 0


def test_an_owner_that_lags_behind_the_topic_publishes_nothing_old(database: Database) -> None:
    """Another worker has published a later instant in the meantime: wait until this one gets there."""
    insert_order(database, "A", days=1)
    calculate(database, 1)
    later = topic(database)
    with closing(open_database()) as lagging:
        insert_order(lagging, "B", days=1)
        calculate(lagging)
        lagging.set_baseline(0, later)
        assert drain(lagging) == {}
        calculate(lagging, 1)
        assert set(drain(lagging)) == {"A", "B"}
