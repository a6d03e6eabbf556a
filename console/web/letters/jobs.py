"""The replays that this console runs: one at a time, in the server's own process.

A replay that ends with the process has lost nothing: what it had sent is in the audit log, and the same replay again
sends the rest. So nothing is kept of it here but in memory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import time_ns

import structlog

from console.desk.replay_job import ReplayJob
from console.desk.replay_order import ENDED, ReplayProgress
from runtime.refusals import Refusal

log = structlog.get_logger(__name__)

REMEMBERED = 50  # replays that have ended
STOP_WITHIN_S = 4.0
CANCEL_WITHIN_S = 2.0


class ReplayRuns(Refusal):
    """There is a replay already."""


@dataclass(frozen=True, slots=True)
class About:
    """What a replay is about: which group, how it is repaired (None: as it is), who wants it, and why."""

    group: str
    recipe: str | None
    who: str
    why: str
    letters: int  # that waited when it began


@dataclass(slots=True)
class Run:
    """A replay under way, or ended. `began_at` is in UTC milliseconds; `ended` is told when it is over."""

    job: ReplayJob
    about: About
    began_at: int
    task: "asyncio.Task[None] | None" = None

    @property
    def id(self) -> str:
        """That of the replay in the audit log."""
        return self.job.id

    @property
    def progress(self) -> ReplayProgress:
        """Where it is now."""
        return self.job.progress

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.progress.state in ENDED


class Jobs:
    """Begins replays, and remembers them."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._runs: dict[str, Run] = {}
        self._on_change = on_change

    def __iter__(self):
        """The newest first."""
        return iter(reversed(self._runs.values()))

    def find(self, run_id: str) -> Run | None:
        """The replay of an id; None if this process has never known it, or has forgotten it."""
        return self._runs.get(run_id)

    @property
    def current(self) -> Run | None:
        """The one that is under way."""
        return next((run for run in self if not run.ended), None)

    def begin(self, job: ReplayJob, about: About) -> Run:
        """Let a replay run.

        Raises:
            ReplayRuns: another one is under way.
        """
        if (other := self.current) is not None:
            raise ReplayRuns(
                f"a replay runs already ({other.id}, begun by {other.about.who}): one at a time. Wait until it has "
                f"ended, or stop it at /letters/jobs/{other.id}"
            )
        run = Run(job, about, time_ns() // 1_000_000)
        self._runs[run.id] = run
        for old in list(self._runs)[:-REMEMBERED]:
            del self._runs[old]
        run.task = asyncio.create_task(self._follow(run), name=f"replay {run.id}")
        return run

    async def close(self) -> None:
        """Stop what is under way between two transactions; the rest of its letters waits as before."""
        for run in self:
            run.job.stop()
        tasks = [run.task for run in self if run.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCEL_WITHIN_S)

    async def _follow(self, run: Run) -> None:
        try:
            await _quietly(run.job.run)
        finally:
            self._on_change()
        progress = run.progress
        log.info("replay ended", run=run.id, state=progress.state.value, sent=progress.sent, reason=progress.reason)


async def _quietly(run: Callable[[], Awaitable[object]]) -> None:
    """What a replay raises is in its state and reason, too."""
    try:
        await run()
    except Exception:
        log.exception("a replay failed")
