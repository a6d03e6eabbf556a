"""How many batch files are read at once: more while they queue, far fewer at the first sign of trouble. Pure.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain: Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance, 1989): the limit halves when the event loop lags or memory runs short, and grows by
one while more files wait than are being read. It stays between one and `max_concurrency`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a worker may use. A loop lag is by how much a timer was late, in seconds."""

    max_concurrency: int
    max_loop_lag_s: float
    max_memory_bytes: int

    def __post_init__(self) -> None:
        if self.max_concurrency < 1 or self.max_loop_lag_s <= 0 or self.max_memory_bytes < 1:
            raise ValueError("a worker needs at least one reader, some patience, and some memory")


@dataclass(frozen=True, slots=True)
class Strain:
    """How a worker fares: its event loop's lag, its resident memory, and how many files wait."""

    loop_lag_s: float
    memory_bytes: int
    queued: int


class Regulator:
    """Holds the current `limit`. Starts with two: enough to overlap a read with a decode."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.limit = min(2, bounds.max_concurrency)

    def adjust(self, strain: Strain) -> int:
        """The limit from now on."""
        overloaded = (
            strain.loop_lag_s > self._bounds.max_loop_lag_s or strain.memory_bytes > self._bounds.max_memory_bytes
        )
        if overloaded:
            self.limit = max(1, self.limit // 2)
        elif strain.queued > self.limit:
            self.limit = min(self._bounds.max_concurrency, self.limit + 1)
        return self.limit
