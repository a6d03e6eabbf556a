"""The sites of the partitions that this worker owns, and which of their windows are complete."""

from collections.abc import Collection
from dataclasses import dataclass

from batcher.completeness import complete_until, first_incomplete
from batcher.database import Database
from schemas.records import Window
from schemas.windows import SiteWindows, WindowGrid


@dataclass(slots=True, eq=False)
class Site:
    """A site with facts. `complete_until_ms` is the end of its latest complete window, None without one."""

    site_id: str
    partition: int
    grid: WindowGrid
    first_fact_ms: int
    complete_until_ms: int | None = None

    def advance(self, passed_ms: int) -> int | None:
        """Until when it is complete, now that all source partitions have passed `passed_ms`; None if it was before."""
        until_ms = complete_until(self.grid, self.first_fact_ms, passed_ms)
        before_ms = self.complete_until_ms
        return until_ms if until_ms is not None and (before_ms is None or until_ms > before_ms) else None

    def first_incomplete(self, as_of_ms: int) -> Window | None:
        """The first window that starts before an instant and is not complete."""
        return first_incomplete(self.grid, self.first_fact_ms, as_of_ms, self.complete_until_ms)


class SiteBook:
    """Sites by id."""

    def __init__(self, windows: SiteWindows) -> None:
        self._windows = windows
        self._sites: dict[str, Site] = {}

    def enter(self, site: Site) -> None:
        """A site as the database has it; batches that were loaded since it was read are not forgotten."""
        before = self._sites.get(site.site_id)
        if before is not None:
            site.first_fact_ms = min(site.first_fact_ms, before.first_fact_ms)
        self._sites[site.site_id] = site

    def remove(self, partitions: Collection[int]) -> list[str]:
        """Sites of partitions that are no longer ours; returns them."""
        gone = [site.site_id for site in self._sites.values() if site.partition in partitions]
        for site_id in gone:
            del self._sites[site_id]
        return gone

    def loaded(self, site_id: str, partition: int, min_event_time_ms: int) -> None:
        """A batch of a site is in the database."""
        site = self._sites.get(site_id)
        if site is None:
            self._sites[site_id] = Site(site_id, partition, self._windows.grid_of(site_id), min_event_time_ms)
        else:
            site.first_fact_ms = min(site.first_fact_ms, min_event_time_ms)

    def get(self, site_id: str) -> Site | None:
        """The site, if it is ours and has facts."""
        return self._sites.get(site_id)

    def of(self, partitions: Collection[int]) -> list[Site]:
        """The sites of partitions, by id."""
        return [site for _, site in sorted(self._sites.items()) if site.partition in partitions]


def read_sites(database: Database, windows: SiteWindows, partitions: Collection[int]) -> list[Site]:
    """The sites of partitions as the database has them. Blocks.

    Where windows were cut by another grid, a site is complete until the last end of a present one by then.
    """
    until, sites = database.complete_until(), list[Site]()
    for site_id, partition in database.sites().items():
        first_ms = database.first_event_time(site_id) if partition in partitions else None
        if first_ms is not None:
            site = Site(site_id, partition, windows.grid_of(site_id), first_ms)
            site.complete_until_ms = site.advance(until[site_id]) if site_id in until else None
            sites.append(site)
    return sites
