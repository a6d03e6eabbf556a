"""What a replay is told to do, and what it says of itself while it does."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from console.desk.acts import Leftovers
from console.desk.recipes import Recipe
from console.desk.repair import Unrepairable
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """How to send letters back. `rate` is in records a second, `verdict_timeout_s` is for the canary; 0 has none."""

    why: str = ""
    recipe: Recipe | None = None
    rate: float | None = None
    canary: int = 0
    abort_above: float = 0.1
    max_attempts: int = 5
    verdict_timeout_s: float = 120.0
    include_parked: bool = False
    follow: bool = False  # stay until the last verdict

    @classmethod
    def of(cls, settings: Settings, *, why: str, recipe: Recipe | None = None, canary: int | None = None) -> Self:
        """As the settings have it. Without a recipe there is no canary unless it is asked for."""
        desk = settings.desk
        return cls(
            why=why,
            recipe=recipe,
            rate=desk.rate,
            canary=canary if canary is not None else desk.canary if recipe else 0,
            abort_above=desk.abort_above,
            max_attempts=desk.max_attempts,
            verdict_timeout_s=desk.verdict_timeout.total_seconds(),
        )


class State(StrEnum):
    """Where a replay is."""

    READY = "ready"
    SENDING = "sending"
    CANARY = "canary"  # the first are sent, their verdicts are awaited
    PAUSED = "paused"
    FOLLOWING = "following"  # all are sent, verdicts are awaited
    DONE = "done"
    STOPPED = "stopped"  # somebody said so; the rest waits
    ABORTED = "aborted"  # too much failed, or no verdicts came; the rest waits
    FAILED = "failed"  # an error; the rest waits


ENDED = frozenset({State.DONE, State.STOPPED, State.ABORTED, State.FAILED})


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """A snapshot. `rate` is records a second over the whole so far; `reason` says why it is where it is."""

    state: State
    reason: str = ""
    sent: int = 0
    skipped: int = 0
    parked: int = 0
    unrepairable: int = 0
    elsewhere: int = 0
    judged: int = 0
    failed_again: int = 0
    rate: float = 0.0


@dataclass(slots=True)
class Tally:
    """What a replay has done so far, in detail.

    `elsewhere` letters came from topics that are no sources here, `unmatched` ones the recipe is not for; `reasons`
    counts unrepairable ones by step and reason, with a sample of each.
    """

    sent: int = 0
    parked: int = 0
    elsewhere: int = 0
    unmatched: int = 0
    repaired: int = 0
    unrepairable: int = 0
    by_class: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[str] = field(default_factory=Counter[str])
    samples: dict[str, str] = field(default_factory=dict[str, str])
    leftovers: Leftovers = field(default_factory=Leftovers)

    def cannot(self, letter_id: str, why: Unrepairable) -> None:
        """A letter that the recipe does not repair."""
        self.unrepairable += 1
        self.reasons[why.kind] += 1
        self.samples.setdefault(why.kind, letter_id)
