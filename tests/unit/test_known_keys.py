"""Ids that came before are found, whatever the memory allows, and a table names them or says that they never came."""

from contextlib import closing

import numpy as np
import pytest
from hand_made import batch, open_database, order

from batcher import key_table, known_keys
from batcher.database import Database
from batcher.facts import InsertResult
from batcher.key_table import KeyTable, TableFull
from schemas.sources import Source

T = "2011-05-01T10:00:00Z"


def drawn(count: int, seed: int = 1) -> key_table.Hashes:
    return np.random.default_rng(seed).integers(0, 1 << 64, count, dtype=np.uint64)


def test_every_hash_is_found_where_it_was_entered() -> None:
    """A full table of hashes of 9,000 batches, more than it has segments; many at once, and some several times."""
    hashes, batch_nos = drawn(90_000), np.arange(90_000) // 10
    hashes[100:110] = hashes[0]
    table = KeyTable(90_000, 9_000)
    for rows in (slice(10_000), slice(10_000, None)):
        table.add(hashes[rows], batch_nos[rows])
    found = np.zeros(90_000, np.bool_)
    for span in table.look_up(hashes):
        found[span.rows] |= (batch_nos[span.rows] >= span.first) & (batch_nos[span.rows] <= span.last)
    assert found.all()


def test_a_hash_that_never_came_is_hardly_ever_suspected() -> None:
    """Of 100,000 strangers at most two."""
    table = KeyTable(70_000, 1)
    table.add(drawn(70_000), np.ones(70_000, np.int64))
    assert sum(len(span.rows) for span in table.look_up(drawn(100_000, seed=2))) < 3


def test_a_full_table_refuses_more_and_is_as_it_was() -> None:
    """Hashes or batches; either way nothing was entered."""
    table = KeyTable(1, 1)
    with pytest.raises(TableFull):
        table.add(drawn(20_000), np.ones(20_000, np.int64))
    with pytest.raises(TableFull):
        table.add(drawn(1), np.array([5_000]))
    assert table.look_up(drawn(20_000)) == []


def insert(database: Database, *numbers: int, quantity: float = 1.0) -> InsertResult:
    events = [order(f"E{number}", T, quantity=quantity) for number in numbers]
    return database.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)


@pytest.mark.parametrize("reopened", [False, True])
def test_without_room_for_all_every_id_is_found_just_the_same(monkeypatch: pytest.MonkeyPatch, reopened: bool) -> None:
    """A table for eleven hashes and forty facts: the newest ones are read instead, also after a start."""
    monkeypatch.setattr(key_table, "_SMALLEST", 16)
    with closing(open_database(key_table_bytes=64)) as database:
        for first in range(0, 40, 4):
            assert insert(database, *range(first, first + 4)).facts_new == 4
        if reopened:
            database._keys._table = None
        assert insert(database, *range(40)).duplicates == 40
        assert insert(database, *range(40), quantity=2.0).conflicts == 40
        assert insert(database, *range(44)).facts_new == 4


def test_the_table_grows_with_the_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From sixteen slots on; what a transaction entered that was rolled back is no fact, and comes again."""
    monkeypatch.setattr(key_table, "_SMALLEST", 16)
    monkeypatch.setattr(known_keys, "_LEAST", 1)
    with closing(open_database()) as database:
        for first in range(0, 200, 20):
            with pytest.raises(ZeroDivisionError), database.transaction():
                insert(database, *range(first, first + 20))
                raise ZeroDivisionError
            assert insert(database, *range(first, first + 20)).facts_new == 20
        assert insert(database, *range(200)).duplicates == 200


def test_batches_of_known_ids_do_not_have_all_facts_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have numbers as others do, though no new facts: the table is made again only where their number doubles."""
    monkeypatch.setattr(key_table, "SEGMENT_BITS", 4)
    monkeypatch.setattr(key_table, "_SEGMENTS", 15)
    tables = list[KeyTable]()
    with closing(open_database()) as database:
        for _ in range(64):
            assert insert(database, 1).batch_id
            table = database._keys._table
            if table is not None and table not in tables:
                tables.append(table)
    assert 2 <= len(tables) <= 7
