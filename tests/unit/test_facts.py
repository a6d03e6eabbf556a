"""A fact counts once, and which body counts does not depend on what came first."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hand_made import Event, avro_file, batch, body_sha256, counted, open_database, order, returned

from batcher.avro_reader import BatchUnreadable
from batcher.database import Database
from batcher.facts import BatchContradictsManifest, InsertResult, Load
from runtime.store import BatchMissing, StoredFile
from schemas.instants import parse_rfc3339
from schemas.sources import Source

T = "2011-05-01T10:00:00Z"


def insert(database: Database, source: Source, *events: Event, batch_id: str | None = None) -> InsertResult:
    return database.insert_batch(*batch(source, *events, batch_id=batch_id), partition=0, offset=0)


def outcome(result: InsertResult) -> tuple[int, int, int]:
    return result.facts_new, result.duplicates, result.conflicts


def fact_count(database: Database) -> int:
    return sum(database.fact_statistics().column("facts").to_pylist())


def counting_quantity(database: Database) -> Decimal:
    """The quantity of the one contested fact that counts."""
    (quantity,) = set(database.conflicts().column("counted_quantity").to_pylist())
    return quantity


def test_the_same_body_again_is_the_same_fact() -> None:
    """In the same batch, in another one, and in a third: one fact, three duplicates."""
    database = open_database()
    assert outcome(insert(database, Source.ORDERS, order("E1", T), order("E1", T))) == (1, 1, 0)
    assert outcome(insert(database, Source.ORDERS, order("E1", T))) == (0, 1, 0)
    last = insert(database, Source.ORDERS, order("E1", T))
    assert outcome(last) == (0, 1, 0)
    assert last.min_event_time_ms is None, "nothing has changed"
    assert fact_count(database) == 1


def test_a_batch_is_inserted_once() -> None:
    """Its id says so: announced again, also in the same call, it changes nothing."""
    database = open_database()
    load = Load(*batch(Source.ORDERS, order("E1", T), batch_id="B"), partition=0, offset=7)
    first, second = database.insert_batches([load, load])
    assert (first.known, second.known) == (False, True)
    assert database.insert_batches([load])[0].known
    assert database.known_batch("B")
    assert not database.known_batch("C")
    assert database.batches().select(["batch_id", "offset", "facts_new"]).to_pylist() == [
        {"batch_id": "B", "offset": 7, "facts_new": 1}
    ]


def test_an_id_is_unique_within_its_source_and_site_only() -> None:
    """The same id from another source or another site is another fact."""
    database = open_database()
    insert(database, Source.ORDERS, order("E1", T))
    insert(database, Source.RETURNS, returned("E1", T))
    insert(database, Source.ORDERS, order("E1", T, site_id="S2"))
    assert fact_count(database) == 3
    assert database.conflicts().num_rows == 0


def test_the_lowest_sha256_of_the_canonical_body_counts_whatever_came_first() -> None:
    """Three bodies of one id, at different times, in every order: always the same one counts."""
    events = [order("E1", f"2011-05-0{day}T10:00:00Z", quantity=float(day), sku=f"SKU{day}") for day in (1, 2, 3)]
    winner = min(events, key=body_sha256)
    for sequence in permutations(events):
        database = open_database()
        assert [outcome(insert(database, Source.ORDERS, event)) for event in sequence] == [(1, 0, 0), *[(0, 0, 1)] * 2]
        assert counting_quantity(database) == Decimal(winner["quantity"])
        assert sorted(database.conflicts().column("quantity").to_pylist()) == sorted(
            Decimal(event["quantity"]) for event in events if event is not winner
        )
        assert fact_count(database) == 1


AWKWARD: list[dict[str, Any]] = [
    {"order_id": 'say "hi"', "channel": "a\\b"},
    {"order_id": "tab\tnewline\nreturn\r", "promo_id": "bell\x07 unit\x1f delete\x7f"},
    {"order_id": "Ärger/日本/🙂", "channel": "<>&'"},
    {"quantity": 0.001, "line": 2**63 - 1},
    {"quantity": 1e9},
    {"quantity": 123456789.123},
    {"channel": "", "promo_id": "null"},
]


def assert_lower_hash_counts(source: Source, ones: list[Event], others: list[Event]) -> None:
    """Events of the same ids, pair by pair: of each pair the body with the lower hash, computed here, counts."""
    database = open_database()
    insert(database, source, *ones)
    insert(database, source, *others)
    found = {row["event_id"]: row["counted_quantity"] for row in database.conflicts().to_pylist()}
    lower = [min(pair, key=body_sha256) for pair in zip(ones, others, strict=True)]
    assert found == {event["event_id"]: Decimal(str(event.get("quantity", event.get("variance")))) for event in lower}


@pytest.mark.parametrize("fields", AWKWARD)
def test_the_canonical_body_is_the_documented_one_for_awkward_values(fields: dict[str, Any]) -> None:
    """Each body meets forty plain ones: if it were put together in any other way, about twenty would end otherwise."""
    plain = [order(f"E{number}", T, quantity=7.25) for number in range(40)]
    awkward = [order(f"E{number}", T, **{"quantity": 2.5, **fields}) for number in range(40)]
    assert_lower_hash_counts(Source.ORDERS, plain, awkward)


def test_the_canonical_body_of_returns_and_counts_is_the_documented_one() -> None:
    """With their own fields, null or not."""
    ids = [f"X{number}" for number in range(40)]
    one = [returned(event_id, T, quantity=1.0) for event_id in ids]
    other = [returned(event_id, T, quantity=2.0, reason="brüchig", order_id="O", line=3) for event_id in ids]
    assert_lower_hash_counts(Source.RETURNS, one, other)
    one = [counted(event_id, T, variance=-1.5) for event_id in ids]
    other = [counted(event_id, T, variance=2.0, book_quantity=3.0, location_id="") for event_id in ids]
    assert_lower_hash_counts(Source.CYCLE_COUNTS, one, other)


def test_a_losing_body_is_reported_once() -> None:
    """It may come back as often as it likes, and the winner too: from then on they are duplicates."""
    database = open_database()
    bodies = [order("E1", T, quantity=float(number)) for number in (1, 2, 3)]
    assert outcome(insert(database, Source.ORDERS, *bodies)) == (1, 0, 2)
    assert outcome(insert(database, Source.ORDERS, *bodies, *bodies)) == (0, 6, 0)
    assert database.conflicts().num_rows == 2
    (row,) = database.fact_statistics().to_pylist()
    assert (row["facts"], row["conflicts"]) == (1, 2)


def test_a_replaced_fact_says_from_when_on_things_have_changed() -> None:
    """A new winner changes the time of the old fact and its own; a new loser changes nothing."""
    early, late = order("E1", "2011-05-01T10:00:00Z"), order("E1", "2011-05-02T10:00:00Z")
    winner, loser = sorted((early, late), key=body_sha256)
    replaced = open_database()
    insert(replaced, Source.ORDERS, loser)
    assert insert(replaced, Source.ORDERS, winner).min_event_time_ms == parse_rfc3339("2011-05-01T10:00:00Z")
    kept = open_database()
    insert(kept, Source.ORDERS, winner)
    assert insert(kept, Source.ORDERS, loser).min_event_time_ms is None


def test_what_became_of_records_is_told_per_batch_and_adds_up() -> None:
    """Several batches of several sources and sites in one call, with duplicates and conflicts across them."""
    database = open_database()
    loads = [
        Load(*batch(Source.ORDERS, order("E1", T), order("E2", T)), partition=0, offset=0),
        Load(*batch(Source.RETURNS, returned("E1", T)), partition=0, offset=1),
        Load(*batch(Source.ORDERS, order("E1", T), order("E2", T, line=2), order("E3", T)), partition=0, offset=2),
        Load(*batch(Source.ORDERS, order("E1", T, site_id="S2")), partition=4, offset=0),
    ]
    assert [outcome(result) for result in database.insert_batches(loads)] == [
        (2, 0, 0),
        (1, 0, 0),
        (1, 1, 1),
        (1, 0, 0),
    ]
    assert database.sites() == {"S1": 0, "S2": 4}
    assert database.batches("S1").column("offset").to_pylist() == [0, 1, 2]
    assert database.batches("S1", row_limit=2).column("offset").to_pylist() == [0, 1]
    last = loads[2].manifest.batch_id
    assert database.batches("S1", batch_id=last).column("batch_id").to_pylist() == [last]
    assert len(database.batches("S2", batch_id=last)) == 0


def test_a_batch_with_another_number_of_records_than_announced_is_refused() -> None:
    """And leaves nothing behind."""
    manifest, _ = batch(Source.ORDERS, order("E1", T), order("E2", T))
    database = open_database()
    with pytest.raises(BatchContradictsManifest, match="has 1 records; its manifest announces 2"):
        database.insert_batch(manifest, avro_file(Source.ORDERS, [order("E1", T)]), partition=0, offset=0)
    assert not database.known_batch(manifest.batch_id)


def test_equal_hashes_of_ids_do_not_make_equal_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hash that is the same for all ids, everything is found out just the same."""
    monkeypatch.setattr("batcher.batch_events.key_hashes", lambda _, ids: np.full(len(ids.starts), 5, np.uint64))
    database = open_database()
    assert outcome(insert(database, Source.ORDERS, order("E1", T), order("E2", T), order("E1", T))) == (2, 1, 0)
    assert outcome(insert(database, Source.ORDERS, order("E2", T), order("E1", T, quantity=3.0))) == (0, 1, 1)
    assert outcome(insert(database, Source.RETURNS, returned("E1", T))) == (1, 0, 0)
    assert fact_count(database) == 3


def test_without_the_file_of_a_rival_nothing_is_decided() -> None:
    """The batch waits, whoever brought the other body and however long ago; once the file is back, it is inserted."""
    files: dict[str, bytes] = {}

    database = open_database(read_file=lambda stored: files[stored.path] if stored.path in files else lost(stored))
    (first, file), later = batch(Source.ORDERS, order("E1", T)), batch(Source.ORDERS, order("E1", T, quantity=2.0))
    assert outcome(database.insert_batch(first, file, partition=0, offset=0)) == (1, 0, 0)
    again = batch(Source.ORDERS, order("E1", T), order("E2", T))
    assert outcome(database.insert_batch(*again, partition=0, offset=1)) == (1, 1, 0), "the same body needs no file"
    with pytest.raises(BatchMissing, match=first.path):
        database.insert_batch(*later, partition=0, offset=2)
    assert (fact_count(database), database.known_batch(later[0].batch_id)) == (2, False)
    files[first.path] = file
    assert outcome(database.insert_batch(*later, partition=0, offset=2)) == (0, 0, 1)


def test_a_file_that_has_lost_a_rival_decides_nothing() -> None:
    """Though it can be read: an event that was there once must be there again, or its id would count twice."""
    other = avro_file(Source.ORDERS, [order("E9", T)])
    database = open_database(read_file=lambda _: other)
    insert(database, Source.ORDERS, order("E1", T))
    with pytest.raises(BatchUnreadable, match="has 1 events no more"):
        insert(database, Source.ORDERS, order("E1", T, quantity=2.0))
    assert fact_count(database) == 1


def test_quantities_that_are_equal_in_thousandths_are_one_body() -> None:
    """Whoever wrote the file: 0.1 + 0.2 is 0.3, also where another body wins."""
    database = open_database()
    twice = [counted("E1", T, variance=0.3), counted("E1", T, variance=0.1 + 0.2)]
    assert outcome(insert(database, Source.CYCLE_COUNTS, *twice)) == (1, 1, 0)
    assert outcome(insert(database, Source.CYCLE_COUNTS, counted("E1", T, variance=5.0))) == (0, 0, 1)
    assert (fact_count(database), database.conflicts().num_rows) == (1, 1)


def test_ids_of_held_facts_are_left_out_where_their_file_is_away() -> None:
    """What decides about them is in the database: they are listed all the same."""
    files: dict[str, bytes] = {}
    database = open_database(read_file=lambda stored: files[stored.path] if stored.path in files else lost(stored))
    manifest, file = batch(Source.ORDERS, order("E1", T, uom="BX"))
    database.insert_batch(manifest, file, partition=0, offset=0)
    insert(database, Source.ORDERS, order("E2", T, uom="BX"))
    files[manifest.path] = file
    listed = database.held().select(["event_id", "uom"]).to_pylist()
    assert sorted(listed, key=str) == [{"event_id": "E1", "uom": "BX"}, {"event_id": None, "uom": "BX"}]


def lost(stored: StoredFile) -> bytes:
    raise BatchMissing(f"there is no {stored.path}")
