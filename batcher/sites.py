"""The sites of the partitions that this worker owns, and which of their windows are complete."""

from collections.abc import Collection
from dataclasses import dataclass

from batcher.completeness import incomplete_before, newly_complete, widened
from batcher.database import Database
from schemas.records import Window
from schemas.windows import SiteWindows, WindowGrid


@dataclass(slots=True, eq=False)
class Site:
    """A site with facts. `complete` spans its complete windows, None without one."""

    site_id: str
    partition: int
    grid: WindowGrid
    first_fact_ms: int
    complete: Window | None = None

    @property
    def complete_until_ms(self) -> int | None:
        """The latest instant that all windows before are complete of; None without a complete window."""
        return self.complete and self.complete.end

    def advance(self, passed_ms: int) -> list[Window]:
        """Windows that are complete, now that all source partitions have passed `passed_ms`, and were not before."""
        return newly_complete(self.grid, self.first_fact_ms, passed_ms, self.complete)

    def widen(self, windows: Collection[Window]) -> None:
        """Windows that `advance` named are stored as complete."""
        self.complete = widened(self.complete, windows)

    def incomplete_before(self, as_of_ms: int) -> Window | None:
        """The first window that starts before an instant and is not complete."""
        return incomplete_before(self.grid, self.first_fact_ms, as_of_ms, self.complete)


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
    """The sites of partitions as the database has them. Blocks."""
    found = [site_id for site_id, partition in database.sites().items() if partition in partitions]
    first = {site_id: database.first_event_time(site_id) for site_id in found}
    home = database.sites()
    sites = [Site(s, home[s], windows.grid_of(s), at_ms) for s, at_ms in first.items() if at_ms is not None]
    for site in sites:
        site.complete = _complete(database, site)
    return sites


def _complete(database: Database, site: Site) -> Window | None:
    """The span of complete windows; None where one of it is missing, since windows were cut by another grid then: those
    of the present one will be found complete anew."""
    span = database.complete_span(site.site_id)
    if span is None:
        return None
    known = database.complete_windows(site.site_id)
    return span if known == site.grid.count_between(span.start, span.end) else None
