"""What is kept up beside the facts is what the facts would give, at every commit and for every instant."""

from contextlib import closing
from decimal import Decimal

from hand_made import Sourced, loads, open_database, order, returned
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher import fact_sums
from batcher.database import Database
from schemas.instants import parse_rfc3339, rfc3339
from schemas.reference import Item
from schemas.sources import Source

DAY_MS = 86_400_000
AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")
ITEMS = (
    Item(sku="A", uom="CS", base_units=Decimal(12), valid_from=AS_OF - 40 * DAY_MS),
    Item(sku="A", uom="EA", base_units=Decimal(1), valid_from=AS_OF - 35 * DAY_MS),
    Item(sku="B", uom="CS", base_units=Decimal(2), valid_from=AS_OF - 10 * DAY_MS),
)
DEFINED_DAYS = """
SELECT source::VARCHAR, count(*), sum(body_hash)::VARCHAR
FROM told_facts WHERE site_id = $site_id AND event_time_ms < $as_of_ms GROUP BY source ORDER BY source::VARCHAR
"""
DEFINED_FIRSTS = "SELECT series_no, min(event_time_ms) FROM facts GROUP BY ALL ORDER BY ALL"
KEPT_FIRSTS = "SELECT series_no, first_ms FROM series WHERE first_ms IS NOT NULL ORDER BY ALL"
DEFINED_FIRST_SEEN = """
SELECT sku, rfc3339(min(event_time_ms)) FROM converted_facts($require_known_items)
WHERE site_id = 'S1' AND event_time_ms < $as_of_ms AND base_units IS NOT NULL
GROUP BY sku HAVING max(event_time_ms) >= $start_ms ORDER BY sku
"""

_AROUND_1970 = [rfc3339(at_ms) for at_ms in (-DAY_MS - 1, -DAY_MS, -1, 0)]  # no event has these, but a batch file may
_recent = st.integers(0, 45 * 8).map(lambda eighths: rfc3339(AS_OF - eighths * DAY_MS // 8))
_times = _recent | st.sampled_from(_AROUND_1970)
_fields = {
    "sku": st.sampled_from(["A", "B", "C"]),
    "uom": st.sampled_from(["EA", "CS"]),
    "site_id": st.sampled_from(["S1", "S1", "S2"]),
    "quantity": st.sampled_from([1.0, 2.0]),
}
_ids = st.sampled_from([f"E{number}" for number in range(6)])
_orders = st.builds(order, _ids, _times, **_fields)
_returns = st.builds(returned, _ids, _times, **_fields)
_events = st.one_of(st.tuples(st.just(Source.ORDERS), _orders), st.tuples(st.just(Source.RETURNS), _returns))


def check_dataset(database: Database, as_of_ms: int) -> None:
    with database._file.reading() as connection:
        for site_id in ("S1", "S2"):
            values = {"site_id": site_id, "as_of_ms": as_of_ms}
            defined = connection.execute(DEFINED_DAYS, values).fetchall()
            assert fact_sums.dataset(connection, site_id, as_of_ms) == defined
        kept = connection.execute(KEPT_FIRSTS).fetchall()
        assert kept == connection.execute(DEFINED_FIRSTS).fetchall()
        assert connection.execute("SELECT count(*) FROM fact_days WHERE facts <= 0").fetchall() == [(0,)]


def check_first_seen(database: Database, as_of_ms: int, *, require_known_items: bool) -> None:
    database.calculate("S1", as_of_ms, trigger="test", now_ms=0, newest=False)
    found = [(row["sku"], row["first_seen"]) for row in database.results("S1", as_of_ms).to_pylist()]
    values = {
        "as_of_ms": as_of_ms,
        "start_ms": as_of_ms - 30 * DAY_MS,
        "require_known_items": require_known_items,
    }
    with database._file.reading() as connection:
        assert found == connection.execute(DEFINED_FIRST_SEEN, values).fetchall()


# Each example makes a database, so there are fewer of them than elsewhere.
@settings(max_examples=max(25, settings.default.max_examples // 10))
@given(st.data(), st.lists(st.lists(_events, min_size=1, max_size=6), min_size=1, max_size=5), st.booleans())
def test_sums_are_those_of_the_facts(
    data: st.DataObject, parcels: list[list[Sourced]], require_known_items: bool
) -> None:
    """Through new facts, bodies that replace others, and reference data that come in between; whatever the instant."""
    instants = st.integers(AS_OF - 46 * DAY_MS, AS_OF + DAY_MS)
    with closing(open_database(require_known_items=require_known_items)) as database:
        for number, parcel in enumerate(parcels):
            with database.transaction():
                for events in (parcel[::2], parcel[1::2]):  # what was inserted and what is not yet committed
                    database.insert_batches(loads(events))
            database.apply_reference(ITEMS[number : number + 1])
            check_dataset(database, data.draw(instants))
            check_dataset(database, data.draw(st.integers(-2 * DAY_MS, DAY_MS)))
            check_first_seen(database, data.draw(instants), require_known_items=require_known_items)
