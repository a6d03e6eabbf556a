"""What follows from news: partitions become ready, windows complete, sites are calculated, one at a time."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import structlog

from batcher import metrics
from batcher.agenda import Agenda, now_ms
from batcher.completeness import Place
from batcher.database import Database
from batcher.database_file import BEYOND_USE
from batcher.frontiers import Frontiers
from batcher.horizon import HORIZONS
from batcher.loading import Loader
from batcher.ownership import Ownership
from batcher.partition import Baseline, OwnedPartition
from batcher.reference_feed import ReferenceFeed
from batcher.runs import Run
from batcher.sites import Site, read_sites
from batcher.triggers import Due
from batcher.workbench import Workbench
from schemas.instants import rfc3339
from schemas.windows import SiteWindows

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
        self._failing: set[str] = set()

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
            self._recovered([site_id for site_id in self._failing if self._agenda.book.get(site_id) is None])
            owned = list(self._parts.ownership.partitions.values())
            for partition in owned:
                if not partition.ready and partition.remaining == 0 and self._parts.reference.position.caught_up:
                    await self._open(partition)
            await self._complete()
            self._parts.frontiers.board.forget_older({one.number: one.progress.next_unheld() for one in owned})
            metrics.READY.set(sum(partition.ready for partition in owned))
            metrics.CATCH_UP.set(sum(partition.remaining for partition in owned if not partition.ready))

    async def _open(self, partition: OwnedPartition) -> None:
        sites = await self._bench.database.write(
            open_partition, self._bench.windows, partition.number, partition.baseline
        )
        if partition.dropped:
            return
        partition.baseline = Baseline()
        self._agenda.opened(sites)
        partition.ready = True
        self._bench.health.clear(partition.catching_up)
        log.info("partition ready", partition=partition.number, sites=len(sites))

    async def _complete(self) -> None:
        ready = {number for number, one in self._parts.ownership.partitions.items() if one.ready}
        found = {site: at for site in self._agenda.book.of(ready) if (at := self._newly_complete(site)) is not None}
        if not found:
            return
        await self._bench.database.write(set_all_complete, {site.site_id: until for site, until in found.items()})
        for site, until_ms in found.items():
            site.complete_until_ms = until_ms
            self._agenda.triggers.windows_complete(site.site_id, until_ms, now_ms())

    def _newly_complete(self, site: Site) -> int | None:
        taken = self._parts.ownership.partitions[site.partition].progress.next_offset_of(site.site_id)
        passed = self._parts.frontiers.passed(Place(site.site_id, site.partition, taken))
        return None if passed is None else site.advance(passed)

    # -- calculations --------------------------------------------------------------------------------------------------

    async def _calculate_due(self) -> None:
        triggers, loader = self._agenda.triggers, self._parts.loader
        while due := triggers.take(loader.is_loading, loader.holds.sites, now_ms()):
            metrics.DUE_SITES.set(len(triggers.due_sites))
            self._bench.health.beat("calculations", BEAT_S)
            await self._attempt(due)
            await self.settle()  # other partitions need not wait for all of these calculations
        metrics.DUE_SITES.set(len(triggers.due_sites))

    async def _attempt(self, due: Due) -> None:
        """One site; if its calculation fails, it is tried again later.

        Raises:
            duckdb.Error: one of `BEYOND_USE`.
        """
        try:
            await self._calculate(due)
        except BEYOND_USE:
            raise
        except Exception as error:  # whatever it is, it is this site's alone
            log.warning("calculation failed", site_id=due.site_id, exc_info=not isinstance(error, duckdb.Error))
            if self._agenda.triggers.failed(due, round(self._bench.backoff_s * 1000), now_ms()):
                self._failing.add(due.site_id)
                reason = f"{due.site_id} could not be calculated, trying again: {error}"
                self._bench.health.raise_reason(_reason_key(due.site_id), reason)
        else:
            self._recovered({due.site_id})

    def _recovered(self, site_ids: Collection[str]) -> None:
        """No calculation of these is to be tried again: one was made, or they are no longer ours."""
        for site_id in self._failing.intersection(site_ids):
            self._failing.discard(site_id)
            self._bench.health.clear(_reason_key(site_id))

    async def _calculate(self, due: Due) -> None:
        trigger = ", ".join(due.causes)
        for horizon in HORIZONS:
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
        run = await self._bench.database.write(
            Database.calculate, site_id, as_of_ms, horizon, trigger=trigger, now_ms=wall_ms, newest=newest
        )
        metrics.RECALCULATION_SECONDS.observe(time.perf_counter() - started)
        self.results.set()
        what = "calculated" if run.calculated_at_ms == wall_ms else "calculated before"
        log.info(what, site_id=site_id, as_of=rfc3339(as_of_ms), skus=run.skus, trigger=trigger, run_id=run.run_id)
        return run


def _reason_key(site_id: str) -> str:
    return f"calculation of {site_id}"


def open_partition(database: Database, windows: SiteWindows, number: int, baseline: Baseline) -> list[Site]:
    """The sites of a partition that has caught up. Blocks.

    Before anything of them is calculated it is told what the topic held: what is published is the difference from
    there, and what was complete by then is.
    """
    with database.transaction():
        database.set_baseline(number, baseline.values)
        set_all_complete(database, baseline.complete_until)
        return read_sites(database, windows, {number})


def set_all_complete(database: Database, until: Mapping[str, int]) -> None:
    """Several sites are complete until these instants, in one transaction. Blocks."""
    with database.transaction():
        for site_id, until_ms in until.items():
            database.set_complete_until(site_id, until_ms)
