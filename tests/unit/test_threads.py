"""Work in a thread that must not be left alone: whoever closes what it uses waits for it."""

import asyncio
import threading

import pytest

from runtime.threads import to_its_end


async def test_a_cancellation_waits_until_the_work_has_ended() -> None:
    """Also a second one, while it waits."""
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(10)
        ended.set()

    task = asyncio.create_task(to_its_end(work))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_what_the_work_says_is_passed_on() -> None:
    """Its result, or its error."""
    assert await to_its_end(sorted, [2, 1], reverse=True) == [2, 1]
    with pytest.raises(ZeroDivisionError):
        await to_its_end(divmod, 1, 0)
