"""Whose turn it is: fetches of several partitions are taken at once, those of each partition one after another.

Decoding is Arrow's work for the most part, which other threads need not wait for. A worker that took one fetch of a
source at a time would leave a core idle in between. Work that has to wait for long steps `aside`, so that one
partition's flood of dead letters takes no place from the others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from faust.types import TP

from streams.background import Background


class Turns:
    """Begins work in the background, at most `at_once` at a time. Each partition has one caller."""

    def __init__(self, background: Background, at_once: int) -> None:
        self._background = background
        self._places = asyncio.Semaphore(at_once)
        self._latest: dict[TP, asyncio.Task[None]] = {}

    async def begin(self, tp: TP, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin it once there is a place and the partition's work before it has ended; does not wait for its end."""
        if former := self._latest.get(tp):
            await asyncio.wait([former])
        await self._places.acquire()
        task = self._latest[tp] = self._background.start(work())
        task.add_done_callback(partial(self._ended, tp))

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Work under way gives up its place within, and goes on once there is one again."""
        self._places.release()
        try:
            yield
        finally:
            await self._places.acquire()

    def _ended(self, tp: TP, task: asyncio.Task[None]) -> None:
        self._places.release()
        if self._latest.get(tp) is task:
            del self._latest[tp]
