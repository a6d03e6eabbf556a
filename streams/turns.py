"""Whose turn it is: fetches of several partitions are taken at once, those of each partition one after another.

Decoding is Arrow's work for the most part, which other threads need not wait for. A worker that took one fetch of a
source at a time would leave a core idle in between. Work that has to wait for long steps `aside`: its place is free for
other partitions, and nobody waits for its own partition's turn until it is back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from faust.types import TP

from streams.background import Background

Work = Callable[[], Coroutine[Any, Any, None]]


class Turns:
    """Begins work in the background, at most `at_once` at a time; that of each partition in order, by one caller."""

    def __init__(self, background: Background, at_once: int) -> None:
        self._background = background
        self._places = asyncio.Semaphore(at_once)
        self._latest: dict[TP, asyncio.Task[None]] = {}
        self._waiting: dict[TP, asyncio.Event] = {}  # callers, for their work to begin
        self._aside: set[TP] = set()

    async def begin(self, tp: TP, work: Work) -> None:
        """Begin it once there is a place and the partition's work before it has ended; does not wait for its end.

        Nor for its beginning, while the work before it is aside: whoever brings work should bring no more of that then.
        """
        begun = asyncio.Event()
        task = self._background.start(self._in_turn(self._latest.get(tp), work, begun))
        self._latest[tp] = task
        task.add_done_callback(lambda done: self._ended(tp, done, begun))
        if tp not in self._aside:
            self._waiting[tp] = begun
            await begun.wait()
            del self._waiting[tp]

    async def _in_turn(self, former: asyncio.Task[None] | None, work: Work, begun: asyncio.Event) -> None:
        if former is not None:
            await asyncio.wait([former])
        async with self._places:
            begun.set()
            await work()

    @asynccontextmanager
    async def aside(self, tp: TP) -> AsyncIterator[None]:
        """The partition's work gives up its place within, and goes on once there is one again."""
        self._aside.add(tp)
        if waiting := self._waiting.get(tp):
            waiting.set()
        self._places.release()
        try:
            yield
        finally:
            self._aside.discard(tp)
            await self._places.acquire()

    def _ended(self, tp: TP, task: asyncio.Task[None], begun: asyncio.Event) -> None:
        begun.set()  # where it was cancelled before it began
        if self._latest.get(tp) is task:
            del self._latest[tp]
