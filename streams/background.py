"""Work in the background, and how it ends the worker when it fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from runtime.refusals import Refusal

log = structlog.get_logger(__name__)


class Background:
    """Tasks that nobody awaits. `ended` is set when the process should end: exit code and reason."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def failed(self) -> bool:
        """Whether the process ends because something went wrong: then nothing in memory can be trusted."""
        return self.ended.done()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it; if it fails, the worker ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def end(self, exit_code: int, reason: str) -> None:
        """End the worker; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result((exit_code, reason))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Refusal):
            self.end(error.exit_code, str(error))
        else:
            log.error("unexpected failure", exc_info=error)
            self.end(1, f"unexpected failure, restarting is safe: {error!r}")
