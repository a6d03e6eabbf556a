"""How many batch files are read at once: more while they queue, far fewer at the first sign of strain. Pure.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain: Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance, 1989). A *beat* is one call of `adjust`.

1. The limit stays between `min_concurrency` and `max_concurrency`.
2. Strain halves it at once, and again each beat that it lasts: a late event loop, resident memory or DuckDB's own
   beyond its bound. What was the limit when the strain began is the *ceiling* from then on.
3. Without strain it grows by one a beat while more files wait than may be read.
4. It stays below the ceiling until `CAUTION_BEATS` beats were calm: twice as many each time that strain comes back
   within twice the caution, `MOST_CAUTION_BEATS` at most. So a steady load that bears k readers and not k + 1 makes
   it fall at most 5 + n / 320 times in n beats, not once every k beats.
5. After `IDLE_BEATS` without a file that waits it sinks by one a beat to where it started: a rush begins gently.
"""

from dataclasses import dataclass
from enum import StrEnum

START = 2  # enough to overlap a read with a decode
CAUTION_BEATS = 20
MOST_CAUTION_BEATS = 320
IDLE_BEATS = 20


class Reason(StrEnum):
    """Why the limit moved: the first and the last are peace, the others strain."""

    QUEUE = "queue"
    LOOP_LAG = "loop_lag"
    MEMORY = "memory"
    DATABASE_MEMORY = "database_memory"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a worker may use. A loop lag is by how much a timer was late, in seconds."""

    max_concurrency: int
    max_loop_lag_s: float
    max_memory_bytes: int
    max_database_bytes: int = 1 << 62
    min_concurrency: int = 1

    def __post_init__(self) -> None:
        if min(self.max_concurrency, self.max_memory_bytes, self.max_database_bytes) < 1 or self.max_loop_lag_s <= 0:
            raise ValueError("a worker needs at least one reader, some patience, and some memory")
        if not 1 <= self.min_concurrency <= self.max_concurrency:
            raise ValueError(
                f"min_concurrency {self.min_concurrency} must be between 1 and max_concurrency {self.max_concurrency}"
            )


@dataclass(frozen=True, slots=True)
class Strain:
    """How a worker fares: its event loop's lag, its resident memory, how many files wait, and what DuckDB holds.

    DuckDB's is the memory of its queries and transactions; pages of its file that it could drop do not count.
    """

    loop_lag_s: float
    memory_bytes: int
    queued: int
    database_bytes: int = 0


class Regulator:
    """Holds the current `limit`; `reason` is why it moved last, None before it did."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._start = max(bounds.min_concurrency, min(START, bounds.max_concurrency))
        self._ceiling = bounds.max_concurrency + 1
        self._caution = CAUTION_BEATS
        self._calm = MOST_CAUTION_BEATS  # beats since the last strain
        self._idle = 0  # beats since a file waited
        self.limit = self._start
        self.reason: Reason | None = None

    def adjust(self, strain: Strain) -> int:
        """The limit from now on."""
        self._idle = 0 if strain.queued else self._idle + 1
        reason = self.strained_by(strain)
        if reason is not None:
            self._brace()
            return self._move(self.limit // 2, reason)
        self._calm += 1
        if strain.queued > self.limit and (self.limit + 1 < self._ceiling or self._calm >= self._caution):
            return self._move(self.limit + 1, Reason.QUEUE)
        if self._idle >= IDLE_BEATS and self.limit > self._start:
            return self._move(self.limit - 1, Reason.IDLE)
        return self.limit

    def strained_by(self, strain: Strain) -> Reason | None:
        """The first bound that is passed, in the order of `Reason`; None if none is."""
        bounds = self._bounds
        passed = {
            Reason.LOOP_LAG: strain.loop_lag_s > bounds.max_loop_lag_s,
            Reason.MEMORY: strain.memory_bytes > bounds.max_memory_bytes,
            Reason.DATABASE_MEMORY: strain.database_bytes > bounds.max_database_bytes,
        }
        return next((reason for reason, is_passed in passed.items() if is_passed), None)

    def _brace(self) -> None:
        if self._calm:  # a new episode, not one that lasts
            is_back = self._calm < 2 * self._caution
            self._caution = min(2 * self._caution, MOST_CAUTION_BEATS) if is_back else CAUTION_BEATS
            self._ceiling = self.limit
        self._calm = 0

    def _move(self, limit: int, reason: Reason) -> int:
        bounded = min(self._bounds.max_concurrency, max(self._bounds.min_concurrency, limit))
        if bounded != self.limit:
            self.limit, self.reason = bounded, reason
        return self.limit
