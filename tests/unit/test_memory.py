"""The memory of a batch worker: what is dropped when it is short, and what waits for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hand_made import batch, open_database, order

from batcher import memory
from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.headroom import Headroom
from batcher.known_keys import KnownKeys
from batcher.memory import Memory, resident_bytes
from batcher.pulse import Beside
from schemas.sources import Source

T = "2011-05-01T10:00:00Z"
GB = 10**9


@pytest.fixture
async def database() -> AsyncIterator[AsyncDatabase]:
    """A real one, in memory; DuckDB may hold 512 MB."""
    database = AsyncDatabase(open_database())
    yield database
    await database.close(5.0)


def duckdb_limit(database: Database) -> str:
    """As DuckDB says it."""
    return database.ask(lambda one: one.execute("SELECT current_setting('memory_limit')").fetchall()[0][0])


def insert(database: Database, event_id: str) -> int:
    """Insert a batch of one order; how many new facts that made."""
    return database.insert_batch(*batch(Source.ORDERS, order(event_id, T)), partition=0, offset=0).facts_new


async def test_duckdb_lends_memory_while_it_is_short_and_gets_it_back(database: AsyncDatabase) -> None:
    """Half of it from 80 % of the limit on; all of it once there is plenty, and not before."""
    resident = 0.5 * GB
    kept = Memory(Headroom(GB), database, lambda: int(resident))
    before = duckdb_limit(database.direct)
    await kept.relieve()
    assert duckdb_limit(database.direct) == before
    resident = 0.8 * GB
    await kept.relieve()
    assert duckdb_limit(database.direct) != before
    resident = 0.7 * GB
    await kept.relieve()
    assert duckdb_limit(database.direct) != before
    resident = 0.6 * GB
    await kept.relieve()
    assert duckdb_limit(database.direct) == before


async def test_nothing_is_begun_before_memory_is_free_again(
    database: AsyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of known ids shrinks meanwhile, and ids that came before are found all the same."""
    monkeypatch.setattr(memory, "POLL_S", 0.001)
    shrunk = asyncio.Event()
    shrink, resident = KnownKeys.shrink, 0.95 * GB
    monkeypatch.setattr(KnownKeys, "shrink", lambda keys: (shrink(keys), loop.call_soon_threadsafe(shrunk.set))[0])
    loop = asyncio.get_running_loop()
    assert await database.write(insert, "E") == 1
    kept = Memory(Headroom(GB), database, lambda: int(resident))
    waiting = asyncio.create_task(kept.room(500_000))
    await asyncio.wait_for(shrunk.wait(), 10)
    resident = 0.85 * GB
    await asyncio.sleep(0.01)
    assert not waiting.done()
    resident = 0.5 * GB
    assert await asyncio.wait_for(waiting, 10) == int(0.4 * GB / 1500)
    assert await database.write(insert, "E") == 0
    assert await database.write(insert, "F") == 1


async def test_the_pulse_does_not_wait_for_what_goes_on_beside_it() -> None:
    """It has the newest answer, one call is under way at a time, and a failure is not lost."""
    gate, answers = asyncio.Event(), [7, 8]

    async def call() -> int:
        await gate.wait()
        return answers.pop(0)

    beside = Beside(call, 0)
    assert [beside.beat(), beside.beat()] == [0, 0]
    gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert beside.beat() == 7
    await asyncio.sleep(0)
    assert beside.beat() == 8
    await asyncio.sleep(0)
    with pytest.raises(IndexError):
        beside.beat()


async def test_what_duckdb_holds_is_known_beside_its_work(database: AsyncDatabase) -> None:
    """Little, for an empty file."""
    assert 0 <= await asyncio.to_thread(database.direct.held_bytes) < GB // 10


def test_resident_memory_is_that_of_this_process() -> None:
    """More than an interpreter takes, less than a machine has."""
    assert 10_000_000 < resident_bytes() < 100 * GB
