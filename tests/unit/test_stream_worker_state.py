"""What a worker does about a partition between fetches and transactions, without a broker: races, floods, failures."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from stream_worker_world import ORDERS, WorkerWorld, fetch_of, orders

from runtime.record_batches import Record, Records
from streams import metrics
from streams import worker as worker_module
from streams.drain import DrainRequest
from streams.fetch_decoder import pieces
from streams.fetch_lane import Fetch
from streams.ledger import CheckpointRefusedByBroker, PartitionLost
from streams.recovery import LogBounds
from streams.stall_watch import STALL_S

NOON_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z


async def test_a_partition_that_leaves_while_its_checkpoint_is_refused_leaves_no_pressure(tmp_path: Path) -> None:
    """Whoever has it next would never lift what this worker pressed."""
    world = WorkerWorld(tmp_path)
    refused = asyncio.Event()

    async def refuse() -> None:
        await refused.wait()
        raise CheckpointRefusedByBroker("KafkaTimeoutError")

    world.ledger.before_commit = refuse
    await world.worker.tick()
    asyncio.get_running_loop().call_later(0.05, refused.set)
    await world.worker.revoked(())
    await asyncio.sleep(0.1)
    assert not world.paused
    assert world.ledger.closed


async def test_a_refused_checkpoint_pauses_until_it_is_taken(tmp_path: Path) -> None:
    """The other side of the claim above: while the partition is here, fetching waits, and readiness says why."""
    world = WorkerWorld(tmp_path, retry_backoff="PT0.01S")
    answers: list[Exception | None] = [CheckpointRefusedByBroker("MessageSizeTooLargeError"), None]
    world.owned._fence_again = _nothing  # type: ignore[method-assign]

    async def answer() -> None:
        if error := answers.pop(0):
            raise error

    world.ledger.before_commit = answer
    await world.ticked()
    assert world.paused
    assert "MessageSizeTooLarge" in str(world.health.ready())
    await asyncio.sleep(0.02)
    await world.ticked()
    assert not world.paused
    assert len(world.ledger.entries) == 1


async def _nothing() -> None: ...


async def test_a_transaction_that_hangs_holds_up_a_rebalance_for_seconds_only(tmp_path: Path) -> None:
    """It is given a moment to end, and then cut off."""
    world = WorkerWorld(tmp_path)
    world.ledger.before_commit = asyncio.Event().wait  # type: ignore[assignment]
    await world.worker.tick()
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await world.worker.revoked(())
    assert time.monotonic() - started < 5
    assert world.ledger.closed
    assert world.ledger.entries == []


async def test_a_healthy_transaction_ends_before_its_partition_leaves(tmp_path: Path) -> None:
    """What was nearly committed is committed."""
    world = WorkerWorld(tmp_path)

    async def short() -> None:
        await asyncio.sleep(0.1)

    world.ledger.before_commit = short
    await world.worker.tick()
    await asyncio.sleep(0.02)
    await world.worker.revoked(())
    assert len(world.ledger.entries) == 1


async def test_a_flood_of_malformed_records_waits_for_its_checkpoint(tmp_path: Path) -> None:
    """Letters are sent more slowly than records are judged: what is pending stays within what one transaction takes."""
    world = WorkerWorld(tmp_path, pending_bytes=20_000)
    most = 0

    async def note() -> None:
        nonlocal most
        assert world.owned.state.in_flight is not None
        most = max(most, world.owned.state.in_flight.pending.bytes)
        await asyncio.sleep(0.05)

    world.ledger.before_commit = note
    ticking = asyncio.create_task(_tick(world))
    for _ in range(40):
        await world.take([b"not json"] * 100)
    await asyncio.sleep(0.2)
    ticking.cancel()
    letters = sum(len(entry.dead_letters) for entry in world.ledger.entries)
    assert letters + len(world.owned.state.pending.dead_letters) == 4_000
    assert 0 < most < 3 * 20_000 + 100 * 600


async def _tick(world: WorkerWorld) -> None:
    while True:
        await world.worker.tick()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("records", "most", "sizes"), [(0, 3, [0]), (3, 3, [3]), (7, 3, [3, 3, 1])])
def test_a_fetch_is_taken_in_pieces_that_cover_its_offsets(records: int, most: int, sizes: list[int]) -> None:
    """Each continues where the one before it ended; the last ends where the fetch does, markers included."""
    given = [Record(12 + 2 * row, row, None, b"", [("x", b"%d" % row)] if row % 2 else ()) for row in range(records)]
    fetch = Fetch("t", 0, 1, 10, 50, Records.of(given))
    parts = list(pieces(fetch, most))
    assert [len(part.records) for part in parts] == sizes
    assert [part.base for part in parts] == [10, *(part.end for part in parts[:-1])]
    assert parts[-1].end == 50
    taken = [(part, part.records[index]) for part in parts for index in range(len(part.records))]
    assert [record for _, record in taken] == given
    assert all(part.base <= record.offset < part.end for part, record in taken)


async def test_a_drain_that_is_fulfilled_here_asks_for_no_more_early_checkpoints(tmp_path: Path) -> None:
    """Only until its own checkpoint says so; others may take long, and the interval holds again meanwhile."""
    world = WorkerWorld(tmp_path)
    await world.ticked()
    world.worker.drains.current = DrainRequest("d1", {world.owned.name: 0}, NOON_MS, closable=True)
    await world.ticked()
    assert world.ledger.entries[-1].frontier.last_drain == "d1"
    before = len(world.ledger.entries)
    for number in range(5):
        await world.take(orders(1, start=number, at="2026-03-01T13:00:00Z"))
        await world.ticked()
    assert len(world.ledger.entries) == before


async def test_another_topic_of_the_same_name_ends_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recreated while the worker runs, and already longer than what was read of the old one."""
    world = WorkerWorld(tmp_path)
    await world.take(orders(10))

    async def bounds(*_: Any) -> LogBounds:
        return LogBounds(0, 5_000, "another-topic-id")

    monkeypatch.setattr(worker_module, "log_bounds", bounds)
    await world.worker.take(Fetch(*ORDERS, 1, 10, 10, Records(), out_of_range=True))
    code, reason = world.worker.background.ended.result()
    assert code == 3
    assert "recreated" in reason
    assert world.lane.resumed == []


async def test_rows_that_cannot_be_encoded_are_never_announced_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out while a file is finished: the worker ends, and checkpoints nothing on its way out."""
    world = WorkerWorld(tmp_path)
    await world.take(orders(100))
    form = world.bench.formats[world.owned.identity.source]
    monkeypatch.setattr(type(form), "blocks", _out_of_memory)
    world.owned.state.drain_to(NOON_MS, "d1")
    await world.ticked()
    monkeypatch.undo()
    assert world.worker.background.failed
    await world.worker.finish()
    assert world.ledger.entries == []


async def test_rows_lost_on_their_way_to_the_temporary_file_lose_the_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spill that fails has taken rows that are in no file: the partition is read again, not checkpointed."""
    world = WorkerWorld(tmp_path, chunk_records=5_000)
    form = world.bench.formats[world.owned.identity.source]
    monkeypatch.setattr(type(form), "blocks", _out_of_memory)
    await world.take(orders(6_000))
    assert world.owned._spilling is not None
    await world.owned._spilling
    monkeypatch.undo()
    world.owned.state.drain_to(NOON_MS, "d1")
    await world.ticked()
    assert world.ledger.entries == []
    assert world.worker.background.failed


async def test_a_fetch_that_was_taken_by_half_is_never_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out while its rows join their windows: the rows are there, the position is not."""
    world = WorkerWorld(tmp_path)
    await world.ticked()
    before = len(world.ledger.entries)
    state = world.owned.state
    monkeypatch.setattr(type(state.clock), "observe", _out_of_memory)
    with pytest.raises(MemoryError):
        await world.take(orders(100))
    monkeypatch.undo()
    assert state.windows.buffered_rows == 100
    assert state.position == 0
    state.drain_to(NOON_MS, "d1")
    await world.ticked()
    assert world.worker.background.failed
    await world.worker.finish()
    assert len(world.ledger.entries) == before


async def test_readiness_names_a_lost_partition_until_it_has_said_what_it_has(tmp_path: Path) -> None:
    """A checkpoint that is lost turns it red; it stays so while there is something that cannot be committed."""
    world = WorkerWorld(tmp_path, checkpoint_interval="PT0.01S")

    async def lost() -> None:
        raise PartitionLost("the commit's outcome is unknown", fenced=True)

    world.ledger.before_commit = lost
    await world.take(orders(10))
    await world.ticked()
    assert "outcome is unknown" in str(world.health.ready())
    world.owned.dropped, world.ledger.before_commit = False, None
    world.worker._owned[ORDERS] = world.owned
    world.owned._checkpoint, world.owned.state.in_flight = None, None
    await asyncio.sleep(0.02)
    await world.ticked()
    await world.ticked()
    assert world.health.ready() == (True, {})


def _out_of_memory(*_: Any) -> bytes:
    raise MemoryError


async def test_blocks_have_at_most_the_configured_rows(tmp_path: Path) -> None:
    """A fetch may bring more than a block at once."""
    world = WorkerWorld(tmp_path, chunk_records=5_000)
    await world.take(orders(12_000))
    world.owned.state.drain_to(NOON_MS, "d1")
    await world.ticked()
    (manifest,) = world.ledger.entries[-1].manifests
    assert manifest.record_count == 12_000
    assert manifest.block_count == 3


async def test_a_clean_stop_checkpoints_what_was_taken(tmp_path: Path) -> None:
    """The position of the last fetch is committed, also while a spill is under way."""
    world = WorkerWorld(tmp_path, chunk_records=5_000)
    await world.ticked()
    await world.take(orders(6_000))
    await world.worker.finish()
    assert world.ledger.entries[-1].frontier.position == 6_000
    assert world.lane.closed


async def test_a_checkpoint_that_does_not_come_through_grows_old(tmp_path: Path) -> None:
    """From when there was something to commit, however often it is tried; a quiet partition has no age."""
    world = WorkerWorld(tmp_path, retry_backoff="PT0.01S")
    world.owned._fence_again = _nothing  # type: ignore[method-assign]
    taken = True

    async def answer() -> None:
        if not taken:
            raise CheckpointRefusedByBroker("NotEnoughReplicasError")

    world.ledger.before_commit = answer
    await world.ticked()
    before = time.monotonic()
    await world.ticked()
    since = world.owned.news_since
    assert since >= before
    taken = False
    await world.take(orders(1))
    for _ in range(3):
        assert world.owned.news_since == since
        world.owned.last_checkpoint = 0.0
        await world.ticked()
        await asyncio.sleep(0.02)
    assert world.owned.news_since == since
    taken = True
    before = time.monotonic()
    await world.ticked()
    assert world.owned.news_since >= before


async def test_records_are_counted_once_however_often_they_are_fetched(tmp_path: Path) -> None:
    """After a seek back, or one too many, fetches come again; dashboards must not take them for more events."""
    world = WorkerWorld(tmp_path)
    counter = metrics.RECORDS.labels("orders")
    before = counter._value.get()
    for base, values in ((0, orders(10)), (0, orders(10)), (10, orders(5, start=10))):
        await world.worker.take(fetch_of(ORDERS, base, values))
    assert counter._value.get() - before == 15


async def test_a_worker_without_assignment_is_not_ready(tmp_path: Path) -> None:
    """From the moment at which a rebalance begins, and however long it takes, until the group has assigned."""
    world = WorkerWorld(tmp_path)
    await world.worker.revoked(())
    assert "assigning" in world.health.not_ready["group"]
    await world.worker.assigned(())
    assert "group" not in world.health.not_ready


async def test_backpressure_is_no_stall(tmp_path: Path) -> None:
    """A fetch that waits for it has not gone missing: to fetch it again would only fill the memory."""
    world = WorkerWorld(tmp_path)
    world.lane.reaches = lambda _: 10  # type: ignore[method-assign]
    await world.worker.tick()
    for under_pressure, resumed in ((True, []), (False, [(ORDERS, 0)])):
        if under_pressure:
            world.bench.pressure.press("store check", "the disk is full")
        else:
            world.bench.pressure.lift("store check")
        for seconds in (0, STALL_S + 1):
            world.worker._watch_for_stall(world.owned, seconds)
        await asyncio.sleep(0.01)
        assert world.lane.resumed == resumed
