"""Who is let in to compute, and when those who are not may come again. Pure.

`at_once` computations run, `waiting` requests wait for their turn, and whoever comes then is told to come back once
those who wait now have had theirs: their number by the mean of the last computations' times (Little's law).
"""

import math
from collections import deque
from dataclasses import dataclass

REMEMBERED = 20  # computations
UNKNOWN_S = 1.0  # what one is taken to last before any has ended


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """How many computations run at the same time, and how many requests may wait."""

    at_once: int
    waiting: int

    def __post_init__(self) -> None:
        if self.at_once < 1 or self.waiting < 0:
            raise ValueError("at least one computation must be let in, and not fewer than none may wait")


class Admission:
    """Everyone who is let in leaves by `depart`."""

    def __init__(self, rules: AdmissionRules) -> None:
        self._rules = rules
        self._durations_s: deque[float] = deque(maxlen=REMEMBERED)
        self.inside = 0

    def arrive(self) -> int | None:
        """None: let in, to compute or to wait. Else the seconds to stay away, at least one."""
        if self.inside >= self._rules.at_once + self._rules.waiting:
            return self.retry_after_s
        self.inside += 1
        return None

    def depart(self, worked_s: float | None) -> None:
        """One who was let in is gone; `worked_s` is how long it computed, None if it never came to that."""
        self.inside -= 1
        if worked_s is not None:
            self._durations_s.append(worked_s)

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until those who wait now will have had their turn, at least one."""
        waiting = max(0, self.inside - self._rules.at_once)
        return max(1, math.ceil((waiting + 1) * self._typical_s / self._rules.at_once))

    @property
    def _typical_s(self) -> float:
        return sum(self._durations_s) / len(self._durations_s) if self._durations_s else UNKNOWN_S
