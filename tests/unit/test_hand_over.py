"""Fetches handed over: taken in the background, in the order of each partition, and one partition's wait is its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from faust.types import TP

from tests.stream_worker_world import ORDERS, WorkerWorld, fetch_of, orders

OTHER = TP(ORDERS.topic, 1)


async def test_fetches_of_two_partitions_are_taken_each_in_its_order(tmp_path: Path) -> None:
    """Nothing is lost, nothing is taken for a gap, and the caller need not wait for the end."""
    world = WorkerWorld(tmp_path)
    other = world.own(OTHER)
    for number in range(20):
        for tp in (ORDERS, OTHER):
            await world.worker.hand_over(fetch_of(tp, 10 * number, orders(10, start=10 * number)))
    await _until(lambda: world.owned.state.position == other.state.position == 200)
    assert world.owned.state.windows.buffered_rows == other.state.windows.buffered_rows == 200
    assert world.lane.resumed == []


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_flood_in_one_partition_does_not_hold_up_another(tmp_path: Path, at_once: int) -> None:
    """Its letters wait for a checkpoint that does not come; there are as many such partitions as places, and the same
    caller brings everything: all that was fetched of them, and then one fetch of a quiet partition."""
    world = WorkerWorld(tmp_path, pending_bytes=20_000, concurrent_fetches=at_once)
    flooded = {TP(ORDERS.topic, partition) for partition in range(at_once)}
    for tp in flooded - {ORDERS}:
        world.own(tp)
    quiet = world.own(TP(ORDERS.topic, 9))
    async with asyncio.timeout(10):
        for tp in flooded:
            await world.worker.hand_over(fetch_of(tp, 0, [b"not json"] * 200))
            for number in range(4):
                await world.worker.hand_over(fetch_of(tp, 200 + number, orders(1, start=number)))
        await world.worker.hand_over(fetch_of(quiet.tp, 0, orders(5)))
    await _until(lambda: quiet.state.position == 5)
    assert world.owned.state.position == 200
    assert world.lane.resting == flooded, "no more of these is fetched"
    await world.ticked()
    await _until(lambda: world.owned.state.position == 204)
    assert not world.lane.resting


async def test_a_fetch_that_waits_through_a_rebalance_is_dropped(tmp_path: Path) -> None:
    """Its partition is recovered from what was committed, and would have it twice."""
    world = WorkerWorld(tmp_path, pending_bytes=20_000)
    await world.worker.hand_over(fetch_of(ORDERS, 0, [b"not json"] * 200))
    await world.worker.hand_over(fetch_of(ORDERS, 200, orders(1)))
    await _until(lambda: bool(world.lane.resting))
    before = world.owned
    await world.worker.revoked([ORDERS])
    after = world.own(ORDERS)
    await _until(lambda: not world.lane.resting)
    await world.worker.hand_over(fetch_of(ORDERS, 0, orders(3)))
    await _until(lambda: after.state.position == 3)
    assert before.state.position == 200
    assert before.state.windows.buffered_rows == 0


async def test_what_was_handed_over_is_in_the_last_checkpoint(tmp_path: Path) -> None:
    """A worker that stops first finishes what it has in hand."""
    world = WorkerWorld(tmp_path)
    await world.worker.hand_over(fetch_of(ORDERS, 0, orders(5_000)))
    await asyncio.sleep(0)
    assert world.owned.state.position == 0
    await world.worker.finish()
    assert world.ledger.entries[-1].frontier.position == 5_000


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
