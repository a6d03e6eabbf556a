"""Batches that cannot be loaded: why, since how often, and when to try again. Pure: `now` is passed in, in seconds.

A batch that is missing or damaged holds its site: no window of the site completes, nothing of it is calculated, until
the batch is loaded. It is retried for ever and never skipped. Other sites, also of the same partition, go on.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

LONGEST_BACKOFF_S = 30.0

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Hold:
    """Why a batch of a site cannot be loaded, how often that was tried, and when it will be again."""

    site_id: str
    reason: str
    attempts: int
    retry_at: float


class Holds(Generic[K]):
    """Batches on hold, by whatever tells them apart."""

    def __init__(self, backoff_s: float) -> None:
        self._backoff_s = backoff_s
        self._holds: dict[K, Hold] = {}
        self._by_site: dict[str, dict[K, None]] = {}
        self._retrying: set[K] = set()

    def hold(self, key: K, site_id: str, reason: str, now: float) -> Hold:
        """An attempt failed; the next one is later by twice as much."""
        attempts = self._holds[key].attempts + 1 if key in self._holds else 1
        delay = min(LONGEST_BACKOFF_S, self._backoff_s * 2 ** min(attempts - 1, 10))
        self._retrying.discard(key)
        self._by_site.setdefault(site_id, {})[key] = None
        self._holds[key] = Hold(site_id, reason, attempts, now + delay)
        return self._holds[key]

    def release(self, key: K) -> bool:
        """The batch is loaded; returns whether it was on hold."""
        self._retrying.discard(key)
        hold = self._holds.pop(key, None)
        if hold is None:
            return False
        of_site = self._by_site[hold.site_id]
        del of_site[key]
        if not of_site:
            del self._by_site[hold.site_id]
        return True

    def forget(self, gone: Callable[[K], bool]) -> set[str]:
        """Drop holds that are no longer ours; returns their sites."""
        keys = [key for key in self._holds if gone(key)]
        sites = {self._holds[key].site_id for key in keys}
        for key in keys:
            self.release(key)
        return sites

    def due(self, now: float) -> list[K]:
        """Batches to try again now; each comes once until it is held again or released."""
        keys = [key for key, hold in self._holds.items() if hold.retry_at <= now and key not in self._retrying]
        self._retrying.update(keys)
        return keys

    def reason(self, site_id: str) -> str | None:
        """Why a site is held, by the batch that has been for longest; None if it is not."""
        of_site = self._by_site.get(site_id)
        if not of_site:
            return None
        first = self._holds[next(iter(of_site))]
        return f"site {site_id} is held: {first.reason}{' (and others)' if len(of_site) > 1 else ''}"

    @property
    def sites(self) -> frozenset[str]:
        """Sites that are held."""
        return frozenset(self._by_site)

    def __len__(self) -> int:
        return len(self._holds)
