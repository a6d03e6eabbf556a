"""Backpressure: named reasons for which no fetch is taken. Lag rises, readiness says why, and it lifts by itself."""

import asyncio

from runtime.health import Health
from streams import metrics


class Pressure:
    """A fetch passes `relieved` before it is taken. Agents wait behind it; nothing fetched is dropped."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._reasons: set[str] = set()
        self._free = asyncio.Event()
        self._free.set()

    def press(self, key: str, reason: str) -> None:
        """Stop taking fetches because of this."""
        self._reasons.add(key)
        self._health.raise_reason(key, reason)
        self._free.clear()
        self._show()

    def lift(self, key: str) -> None:
        """This reason is gone; fetches go on when all are."""
        if key not in self._reasons:
            return
        self._reasons.remove(key)
        self._health.clear(key)
        if not self._reasons:
            self._free.set()
        self._show()

    def _show(self) -> None:
        metrics.PAUSED.set(bool(self._reasons))
        for kind in metrics.PRESSURE_KINDS:
            metrics.PRESSURES.labels(kind).set(sum(key.split()[0] == kind for key in self._reasons))

    @property
    def active(self) -> bool:
        """Whether there is a reason."""
        return bool(self._reasons)

    async def relieved(self) -> None:
        """Wait until there is no reason."""
        await self._free.wait()
