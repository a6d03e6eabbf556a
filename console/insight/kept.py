"""Answers that are kept a moment, so that ten people who look at a page ask as much as one does."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 64  # answers at a time


class Kept(Generic[T]):
    """Answers by key, each asked for at most once in `keep_s` seconds; who asks meanwhile waits for the same one.

    What fails is not kept, and fails for everybody who waited.
    """

    def __init__(self, keep_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_s, self._clock = keep_s, clock
        self._answers: dict[Hashable, tuple[float, asyncio.Task[T]]] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer for a key, from `ask` if there is none that is young enough."""
        at_s, task = self._answers.get(key, (0.0, None))
        if task is None or (task.done() and (self._failed(task) or self._clock() - at_s > self._keep_s)):
            task = asyncio.ensure_future(_awaited(ask))
            self._answers.pop(key, None)
            self._answers[key] = (self._clock(), task)
            while len(self._answers) > MOST:
                self._answers.pop(next(iter(self._answers)))
        return await asyncio.shield(task)

    @staticmethod
    def _failed(task: asyncio.Task[T]) -> bool:
        return task.cancelled() or task.exception() is not None


async def _awaited(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
