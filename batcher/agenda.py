"""What has happened, and what is therefore to be done: the sites, what makes them due, and a signal of news."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

from batcher.loading import Loaded
from batcher.sites import Site, SiteBook
from batcher.triggers import Triggers, never
from schemas.windows import SiteWindows

PATIENCE_MS = 10_000


def now_ms() -> int:
    """Milliseconds of a clock that only goes forward."""
    return time.monotonic_ns() // 1_000_000


class Agenda:
    """Whoever loads, reads frontiers or takes partitions over says so here; who calculates waits for it.

    `is_blacked_out` says of a site whether it is in a blackout now.
    """

    def __init__(self, windows: SiteWindows, is_blacked_out: Callable[[str], bool] = never) -> None:
        self.is_blacked_out = is_blacked_out
        self.book = SiteBook(windows)
        self.triggers = Triggers(PATIENCE_MS)
        self._news = asyncio.Event()

    @property
    def deferred_sites(self) -> set[str]:
        """Sites that are due and wait for the end of a blackout."""
        return {site_id for site_id in self.triggers.due_sites if self.is_blacked_out(site_id)}

    def wake(self) -> None:
        """Something has happened."""
        self._news.set()

    async def wait(self, within_s: float) -> None:
        """Until something happens, or time passes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news.wait()
        self._news.clear()

    def loaded(self, batches: Iterable[Loaded]) -> None:
        """Batches are in the database."""
        for one in batches:
            if one.parcel.owned.dropped:
                continue
            manifest = one.parcel.announced.manifest
            self.book.loaded(manifest.site_id, one.parcel.owned.number, manifest.min_event_time)
            if one.result.min_event_time_ms is not None:
                self.triggers.facts_changed(manifest.site_id, one.result.min_event_time_ms, now_ms())
        self.wake()

    def reference_changed(self, site_ids: Iterable[str]) -> None:
        """Reference data that the sites use has changed."""
        for site_id in site_ids:
            self.triggers.reference_changed(site_id, now_ms())
        self.wake()

    def opened(self, sites: Iterable[Site]) -> None:
        """A partition has caught up: its sites are to be calculated once, in case its last owner did not get to it."""
        for site in sites:
            self.book.enter(site)
            self.triggers.begin(site.site_id, site.complete_until_ms, now_ms())
        self.wake()

    def dropped(self, partitions: Collection[int]) -> None:
        """Partitions are no longer ours."""
        for site_id in self.book.remove(partitions):
            self.triggers.forget(site_id)
        self.wake()
