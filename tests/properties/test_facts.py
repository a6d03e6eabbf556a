"""Facts, conflicts, results and run ids depend on what came, not on when, how often, or in which batches."""

import itertools
from collections import defaultdict
from contextlib import closing
from decimal import Decimal

import pytest
from hand_made import Event, Sourced, body_sha256, counted, loads, open_database, order, returned
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.database import Database
from schemas.instants import parse_rfc3339, rfc3339
from schemas.reference import Item, ReferenceRecord
from schemas.sources import Source

AS_OF = parse_rfc3339("2011-05-31T00:00:00Z")
ITEMS = (
    Item(sku="A", uom="CS", base_units=Decimal("12")),
    Item(sku="A", uom="CS", base_units=Decimal("2.5"), valid_from=parse_rfc3339("2011-05-10T00:00:00Z")),
    Item(sku="A", uom="EA", base_units=Decimal("1")),
    Item(sku="B", uom="CS", base_units=Decimal("0.333")),
)

_times = st.sampled_from([rfc3339(AS_OF - days * 86_400_000) for days in (0, 1, 8, 15, 22, 29, 31)])
_ids = st.sampled_from([f"E{number}" for number in range(4)])
_common = {
    "site_id": st.sampled_from(["S1", "S2"]),
    "sku": st.sampled_from(["A", "B", "C"]),
    "uom": st.sampled_from(["EA", "CS"]),
}
_quantities = st.sampled_from([0.5, 1.0, 3.0])
_events = st.one_of(
    st.tuples(st.just(Source.ORDERS), st.builds(order, _ids, _times, quantity=_quantities, **_common)),
    st.tuples(st.just(Source.RETURNS), st.builds(returned, _ids, _times, quantity=_quantities, **_common)),
    st.tuples(
        st.just(Source.CYCLE_COUNTS),
        st.builds(counted, _ids, _times, variance=_quantities, book_quantity=st.none() | _quantities, **_common),
    ),
)


def state(database: Database) -> dict[str, object]:
    """All that must not depend on luck."""
    contested = database.conflicts().drop_columns(["batch_id", "counted_batch_id"]).to_pylist()
    runs = {
        site: database.calculate(site, AS_OF, trigger="test", now_ms=0, newest=True).run_id for site in database.sites()
    }
    return {
        "statistics": database.fact_statistics().to_pylist(),
        "held": database.held().to_pylist(),
        "conflicts": contested,
        "runs": runs,
        "results": database.results().to_pylist(),
        "outbox": [(row.key, row.value) for row in database.outbox(0, 1000)],
    }


def feed(database: Database, parcels: list[list[Sourced]], reference: list[ReferenceRecord]) -> None:
    """A parcel of events, a record of reference data, a parcel, a record, … as long as there are any."""
    for number in range(max(len(parcels), len(reference))):
        if number < len(parcels):
            database.insert_batches(loads(parcels[number]))
        if number < len(reference):
            database.apply_reference(reference[number : number + 1])


# Each example makes two databases, so there are fewer of them than elsewhere.
@settings(max_examples=max(25, settings.default.max_examples // 10))
@given(st.data(), st.lists(_events, min_size=1, max_size=14))
def test_the_order_of_arrival_does_not_matter(data: st.DataObject, events: list[Sourced]) -> None:
    """Shuffled, repeated, in batches cut at random, among reference data in any order: the same comes out."""
    with closing(open_database()) as database:
        database.apply_reference(ITEMS)
        database.insert_batches(loads(events))
        straight = state(database)

    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=6))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled)), max_size=3)) | {0, len(shuffled)})
    parcels = [shuffled[start:end] for start, end in itertools.pairwise(cuts)]
    with closing(open_database()) as database:
        feed(database, parcels, data.draw(st.permutations(ITEMS)))
        assert state(database) == straight


@settings(max_examples=max(15, settings.default.max_examples // 10))
@given(st.lists(_events, min_size=1, max_size=14), st.integers(1, 5))
def test_facts_and_conflicts_are_those_of_a_plain_model(events: list[Sourced], size: int) -> None:
    """A dictionary of sets says which bodies there are; the lowest hash counts, the others are conflicts."""
    with closing(open_database()) as database:
        parcels = [events[at : at + size] for at in range(0, len(events), size)]
        results = [result for parcel in parcels for result in database.insert_batches(loads(parcel))]
        conflicts = database.conflicts().to_pylist()
    bodies: dict[tuple[str, str, str], dict[str, Event]] = defaultdict(dict)
    for source, event in events:
        bodies[source, event["site_id"], event["event_id"]][body_sha256(event)] = event

    assert sum(r.facts_new for r in results) == len(bodies)
    assert sum(r.conflicts for r in results) == sum(len(found) - 1 for found in bodies.values())
    assert sum(r.facts_new + r.conflicts + r.duplicates for r in results) == len(events)
    lost = {
        (row["source"], row["site_id"], row["event_id"], row["sku"], row["event_time_ms"], row["quantity"])
        for row in conflicts
    }
    expected = {
        (*key, found[sha]["sku"], found[sha]["event_time"], _amount(found[sha]))
        for key, found in bodies.items()
        for sha in sorted(found)[1:]
    }
    assert lost == expected
    for row in conflicts:
        winner = min(bodies[row["source"], row["site_id"], row["event_id"]].items())[1]
        assert (row["counted_sku"], row["counted_quantity"]) == (winner["sku"], _amount(winner))


def _amount(event: Event) -> Decimal:
    return Decimal(str(event["quantity"] if "quantity" in event else event["variance"]))


@pytest.mark.parametrize("again", ["everything", "reference"])
def test_the_same_input_again_changes_nothing(again: str) -> None:
    """A second delivery leaves facts, results and run ids alone, and nothing is due to be published."""
    events = [(Source.ORDERS, order(f"E{n}", "2011-05-20T00:00:00Z", sku="AB"[n % 2], uom="CS")) for n in range(6)]
    with closing(open_database()) as database:
        database.apply_reference(ITEMS)
        database.insert_batches(loads(events))
        before = state(database)
        database.acknowledge_outbox(0, up_to=2**62)
        assert database.apply_reference(ITEMS).rows == 0
        if again == "everything":
            assert all(result.facts_new == 0 for result in database.insert_batches(loads(events)))
        assert state(database) == {**before, "outbox": []}
