"""One round of a delivery in hand: what of it runs, when it ends before it is through, and how it stops."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from batcher.delivery.chunks import Chunk

GRACE_S = 3.0  # for requests under way when the worker stops


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, which tests may let run faster."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dice: Callable[[], float] = random.random


class End(StrEnum):
    """How a round of a delivery ended."""

    THROUGH = "through"  # there is nothing left to do with any chunk
    CLOSED = "closed"  # the schedule does not allow more now
    STOPPED = "stopped"  # the other side speaks another version


@dataclass(slots=True)
class Round:
    """One round of a delivery in hand. `over` is set when it ends before it is through; `drift` says what was found."""

    is_open: Callable[[], bool] = lambda: True
    traceparent: str | None = None
    end: End = End.THROUGH
    drift: str | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: list[Chunk] = field(default_factory=list[Chunk])
    under_way: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def cut_short(self, end: End, drift: str | None = None) -> None:
        """What is not under way has to wait for another round."""
        self.end, self.drift = end, drift or self.drift
        self.over.set()

    async def run(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Run all to the end, or until the round is cut short; then what is under way may end, and nothing else.

        Cancelled, what is under way gets a few seconds.
        """
        tasks = [asyncio.create_task(one) for one in work]
        ended = asyncio.gather(*tasks, return_exceptions=True)
        over = asyncio.create_task(self.over.wait())
        try:
            await asyncio.wait([ended, over], return_when=asyncio.FIRST_COMPLETED)
            self._cancel_waiting(tasks)
            for result in await asyncio.shield(ended):
                if isinstance(result, Exception):
                    raise result
        except asyncio.CancelledError:
            self._cancel_waiting(tasks)
            if self.under_way:
                await asyncio.wait(set(self.under_way), timeout=GRACE_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        finally:
            over.cancel()

    def _cancel_waiting(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            if task not in self.under_way:
                task.cancel()
