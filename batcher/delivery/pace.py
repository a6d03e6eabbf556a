"""How fast SKUs may go to a sink. Pure; `now` is seconds of any clock that only goes forward.

A chunk takes its SKUs over the rate in seconds, during which the next one waits: the generic cell rate algorithm
(ITU-T I.371) without a burst beyond the one chunk.
"""


class Pace:
    """A rate in SKUs a second; None is as fast as they come."""

    def __init__(self, skus_per_s: float | None) -> None:
        if skus_per_s is not None and skus_per_s <= 0:
            raise ValueError("a rate must be above 0, or nothing would ever be sent")
        self._skus_per_s = skus_per_s
        self._free_at = 0.0

    def wait_s(self, now: float) -> float:
        """For how long nothing may go."""
        return max(0.0, self._free_at - now)

    def take(self, skus: int, now: float) -> None:
        """So many SKUs go now."""
        if self._skus_per_s is not None:
            self._free_at = now + skus / self._skus_per_s
