"""What follows from news: partitions become ready, windows complete, sites are calculated, one at a time."""

import asyncio
import time
from dataclasses import dataclass

import duckdb
import structlog

from batcher import metrics
from batcher.agenda import Agenda, now_ms
from batcher.completeness import Place
from batcher.database import Database
from batcher.database_file import BEYOND_USE
from batcher.frontiers import Frontiers
from batcher.loading import Loader
from batcher.ownership import Ownership
from batcher.partition import OwnedPartition
from batcher.reference_feed import ReferenceFeed
from batcher.runs import Run
from batcher.sites import Site, read_sites
from batcher.triggers import Due
from batcher.workbench import Workbench
from schemas.instants import rfc3339
from schemas.records import Window

log = structlog.get_logger(__name__)

POLL_S = 0.5
BEAT_S = 600.0  # one calculation or one write may take minutes


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is asked."""

    ownership: Ownership
    loader: Loader
    frontiers: Frontiers
    reference: ReferenceFeed


class Recalculation:
    """Works the agenda off. `results` is set when there may be something to publish."""

    def __init__(self, bench: Workbench, agenda: Agenda, parts: Parts) -> None:
        self.results = asyncio.Event()
        self._bench, self._agenda, self._parts = bench, agenda, parts
        self._settling = asyncio.Lock()
        self._failed: list[tuple[int, Due]] = []  # with when to try again, in milliseconds of `now_ms`

    @property
    def horizons(self) -> tuple[str, ...]:
        """The horizons that a site is calculated for, one after the other."""
        return self._bench.settings.velocity.horizons

    def failing(self) -> set[str]:
        """Sites whose last calculation failed and waits to be tried again."""
        return {due.site_id for _, due in self._failed}

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._agenda.wait(POLL_S)
            self._bench.health.beat("calculations", BEAT_S)
            await self.settle()
            await self._calculate_due()

    # -- partitions and windows ----------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Find out which partitions are ready and which windows are complete, now."""
        async with self._settling:
            owned = list(self._parts.ownership.partitions.values())
            for partition in owned:
                if not partition.ready and partition.remaining == 0 and self._parts.reference.position.caught_up:
                    await self._open(partition)
            await self._complete()
            self._parts.frontiers.board.forget_older({one.number: one.progress.next_unheld() for one in owned})
            metrics.READY.set(sum(partition.ready for partition in owned))
            metrics.CATCH_UP.set(sum(partition.remaining for partition in owned if not partition.ready))

    async def _open(self, partition: OwnedPartition) -> None:
        sites = await self._bench.database.write(read_sites, self._bench.windows, {partition.number})
        if partition.dropped:
            return
        self._agenda.opened(sites)
        partition.ready = True
        self._bench.health.clear(partition.catching_up)
        log.info("partition ready", partition=partition.number, sites=len(sites))

    async def _complete(self) -> None:
        ready = {number for number, one in self._parts.ownership.partitions.items() if one.ready}
        before: dict[Site, Window | None] = {}
        while found := {site: new for site in self._agenda.book.of(ready) if (new := self._newly_complete(site))}:
            await self._bench.database.write(set_all_complete, {site.site_id: new for site, new in found.items()})
            for site, windows in found.items():
                before.setdefault(site, site.complete)
                site.widen(windows)
        for site, known in before.items():
            self._say_complete(site, known)

    def _say_complete(self, site: Site, known: Window | None) -> None:
        """More windows of a site are complete than were, which is reason to calculate it."""
        now = site.complete
        if known and now and now.start < known.start:
            self._agenda.triggers.earlier_complete(site.site_id, now_ms())
        if now:
            self._agenda.triggers.windows_complete(site.site_id, now.end, now_ms())

    def _newly_complete(self, site: Site) -> list[Window]:
        taken = self._parts.ownership.partitions[site.partition].progress.next_offset_of(site.site_id)
        passed = self._parts.frontiers.passed(Place(site.site_id, site.partition, taken))
        return [] if passed is None else site.advance(passed)

    # -- calculations --------------------------------------------------------------------------------------------------

    async def _calculate_due(self) -> None:
        triggers, loader = self._agenda.triggers, self._parts.loader
        self._put_back()
        while due := triggers.take(loader.is_loading, loader.holds.sites, now_ms(), self._agenda.is_blacked_out):
            metrics.DUE_SITES.set(len(triggers.due_sites))
            self._bench.health.beat("calculations", BEAT_S)
            if not await self._is_calculated(due):
                self._failed.append((now_ms() + round(1000 * self._bench.backoff_s), due))
            await self.settle()  # other partitions need not wait for all of these calculations
            self._put_back()
        metrics.DUE_SITES.set(len(triggers.due_sites))
        self.results.set()

    def _put_back(self) -> None:
        """Calculations that failed a while ago are due again: one that always fails does not hold up the others."""
        now = now_ms()
        again = [due for at_ms, due in self._failed if at_ms <= now]
        self._failed = [(at_ms, due) for at_ms, due in self._failed if at_ms > now]
        for due in again:
            if self._agenda.triggers.knows(due.site_id):
                self._agenda.triggers.put_back(due, now)
            else:
                self._bench.health.clear(f"calculation of {due.site_id}")

    async def _is_calculated(self, due: Due) -> bool:
        """Calculate; False if that failed and has to be tried again.

        Raises:
            duckdb.Error: one of `BEYOND_USE`: the database is of no more use.
        """
        key = f"calculation of {due.site_id}"
        try:
            await self._calculate(due)
        except BEYOND_USE:
            raise
        except duckdb.Error as error:
            if self._agenda.book.get(due.site_id):
                self._bench.health.raise_reason(key, f"{due.site_id} could not be calculated, trying again: {error}")
            return False
        self._bench.health.clear(key)
        return True

    async def _calculate(self, due: Due) -> None:
        trigger = ", ".join(due.causes)
        for horizon in self.horizons:
            await self.calculate(due.site_id, due.as_of_ms, horizon, trigger, newest=True)
        self._agenda.triggers.calculated(due.site_id, due.as_of_ms)
        for cause in due.causes:
            metrics.RUNS.labels(cause.name.lower()).inc()

    async def calculate(self, site_id: str, as_of_ms: int, horizon: str, trigger: str, *, newest: bool) -> Run:
        """One calculation; what a `newest` one changes is published.

        Raises:
            ValueError: there is no such horizon.
            duckdb.Error: it failed.
        """
        started, wall_ms = time.perf_counter(), self._bench.wall_ms()
        with self._bench.traces.calculating(site_id, as_of_ms, newest=newest):
            run = await self._bench.database.write(
                Database.calculate, site_id, as_of_ms, horizon, trigger=trigger, now_ms=wall_ms, newest=newest
            )
        metrics.RECALCULATION_SECONDS.observe(time.perf_counter() - started)
        self.results.set()
        what = "calculated" if run.calculated_at_ms == wall_ms else "calculated before"
        log.info(what, site_id=site_id, as_of=rfc3339(as_of_ms), skus=run.skus, trigger=trigger, run_id=run.run_id)
        return run


def set_all_complete(database: Database, windows: dict[str, list[Window]]) -> None:
    """Windows of several sites are complete, in one transaction. Blocks."""
    with database.transaction():
        for site_id, found in windows.items():
            database.set_complete(site_id, found)
