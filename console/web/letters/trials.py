"""The dry runs that this console makes: each goes on by itself, and the page asks until it has ended."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

from console.desk.dry_run import DryRun, dry_run
from console.desk.recipes import Recipe
from console.desk.replay_order import ReplayOrder
from runtime.refusals import Refusal
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter

AT_ONCE = 3  # under way
REMEMBERED = 20
FORGOTTEN_S = 60.0  # after which one that nobody asks for is given up


class TooManyDryRuns(Refusal):
    """As many as there may be are under way."""


@dataclass(slots=True)
class Trial:
    """A dry run under way, or ended. `letters` waited when it began, `judged` of them are done."""

    group: str
    recipe: Recipe | None
    letters: int
    id: str = field(default_factory=lambda: uuid4().hex[:12])
    judged: int = 0
    asked_s: float = field(default_factory=monotonic)
    task: "asyncio.Task[DryRun] | None" = None

    @property
    def under_way(self) -> bool:
        """Whether it has not ended."""
        return self.task is not None and not self.task.done()

    async def result(self, within_s: float) -> DryRun | None:
        """What it found; None if it takes longer. It goes on then, and whatever it raises is raised here."""
        assert self.task is not None
        self.asked_s = monotonic()
        await asyncio.wait([self.task], timeout=within_s)
        return self.task.result() if self.task.done() else None

    def note(self, judged: int) -> None:
        """So far it is. One that nobody has asked for in a long time ends here."""
        self.judged = judged
        if monotonic() - self.asked_s > FORGOTTEN_S and self.task is not None:
            self.task.cancel()


class Trials:
    """Begins dry runs, and remembers the last of them."""

    def __init__(self) -> None:
        self._trials: dict[str, Trial] = {}

    def find(self, trial_id: str) -> Trial | None:
        """The one of an id; None if this process has never known it, has forgotten it, or has given it up."""
        trial = self._trials.get(trial_id)
        return None if trial is None or trial.task is None or trial.task.cancelled() else trial

    def begin(
        self, settings: Settings, trial: Trial, order: ReplayOrder, letters: AsyncGenerator[DeadLetter, None]
    ) -> None:
        """Let it go on.

        Raises:
            TooManyDryRuns: wait for another one to end.
        """
        if sum(one.under_way for one in self._trials.values()) >= AT_ONCE:
            raise TooManyDryRuns(f"{AT_ONCE} dry runs are under way in this console: wait until one has ended")
        work = dry_run(settings, order, letters, on_progress=trial.note)
        trial.task = asyncio.create_task(work, name=f"dry run {trial.id}")
        self._trials[trial.id] = trial
        for old in list(self._trials)[:-REMEMBERED]:
            del self._trials[old]

    async def close(self) -> None:
        """End those that are under way; nothing is lost, for nothing was sent."""
        tasks = [one.task for one in self._trials.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
