"""Fetches of several partitions at once: in order within each, none lost, never more than allowed."""

import asyncio
from functools import partial

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.background import Background
from streams.turns import Turns

pauses = st.integers(0, 3)


@given(st.lists(st.tuples(st.integers(0, 3), pauses, pauses), max_size=20), st.integers(1, 3))
def test_each_partition_s_work_is_done_in_order_and_no_more_at_once_than_allowed(
    wanted: list[tuple[int, int, int]], at_once: int
) -> None:
    """Whatever each takes, in pauses of the event loop, first aside and then at its place."""
    begun: list[tuple[int, int]] = []
    present: set[int] = set()  # partitions whose work has begun and not ended
    under_way: set[tuple[int, int]] = set()  # work that has a place
    most = 0

    async def work(turns: Turns, partition: int, number: int, wait: int, pause: int) -> None:
        nonlocal most
        assert partition not in present
        present.add(partition)
        begun.append((partition, number))
        async with turns.aside(TP("t", partition)):
            for _ in range(wait):
                await asyncio.sleep(0)
        under_way.add((partition, number))
        most = max(most, len(under_way))
        for _ in range(pause):
            await asyncio.sleep(0)
        under_way.remove((partition, number))
        present.remove(partition)

    async def caller(turns: Turns, partition: int) -> None:
        for number, (_, wait, pause) in enumerate(each for each in wanted if each[0] == partition):
            await turns.begin(TP("t", partition), partial(work, turns, partition, number, wait, pause))

    async def all_of_it() -> None:
        background = Background()
        turns = Turns(background, at_once)
        await asyncio.gather(*(caller(turns, partition) for partition in range(4)))
        for _ in range(100):  # more than the last four can take one after the other
            await asyncio.sleep(0)
        assert not background.failed
        assert not under_way
        assert turns._places._value == at_once
        assert not (turns._latest or turns._waiting or turns._aside)

    asyncio.run(all_of_it())
    assert len(begun) == len(wanted)
    assert most <= at_once
    for partition in range(4):
        numbers = [number for where, number in begun if where == partition]
        assert numbers == sorted(numbers)


async def test_work_that_fails_gives_its_place_back_and_ends_the_worker() -> None:
    """What the process does about it is `Background`'s matter."""
    background = Background()
    turns = Turns(background, 1)

    async def fail() -> None:
        raise ValueError("odd")

    async def succeed() -> None:
        done.set()

    done = asyncio.Event()
    await turns.begin(TP("t", 0), fail)
    await turns.begin(TP("t", 1), succeed)
    await asyncio.wait_for(done.wait(), 5)
    assert background.failed


async def test_two_partitions_are_under_way_at_the_same_time() -> None:
    """Each waits here until the other has begun."""
    turns = Turns(Background(), 2)
    meeting = asyncio.Barrier(3)

    async def meet() -> None:
        await meeting.wait()

    for partition in range(2):
        await turns.begin(TP("t", partition), meet)
    await asyncio.wait_for(meeting.wait(), 5)


@pytest.mark.parametrize("at_once", [1, 2])
async def test_the_caller_goes_on_while_its_work_is_done(at_once: int) -> None:
    """So that it can bring another partition's."""
    turns = Turns(Background(), at_once)
    meeting = asyncio.Barrier(2)

    async def meet() -> None:
        await meeting.wait()

    await asyncio.wait_for(turns.begin(TP("t", 0), meet), 5)
    await asyncio.wait_for(meeting.wait(), 5)


async def test_work_that_waits_aside_leaves_its_place_to_others() -> None:
    """One place, and the first work waits for what the last one does; what comes behind it has its turn afterwards."""
    turns = Turns(Background(), 1)
    other_done, done = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def waits() -> None:
        async with turns.aside(TP("t", 0)):
            await other_done.wait()
        order.append("first")

    async def behind(name: str) -> None:
        order.append(name)
        done.set() if name == "third" else None

    async def other() -> None:
        order.append("other")
        other_done.set()

    await turns.begin(TP("t", 0), waits)
    async with asyncio.timeout(5):
        await turns.begin(TP("t", 0), partial(behind, "second"))
        await turns.begin(TP("t", 0), partial(behind, "third"))
        await turns.begin(TP("t", 1), other)
        await done.wait()
    assert order == ["other", "first", "second", "third"]
