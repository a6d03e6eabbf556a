"""The job of the night: once per site and local night a recalculation, begun when the site opens.

`nights.py` has the rules; this is the shell that reads the wall clock and makes one job at a time. A night stands as
running before its job begins, so that a worker that dies in the middle makes it again, which changes nothing but what
was left to do. A boundary at which an overrun stops is the end of one horizon's calculation.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb

from batcher import metrics
from batcher.agenda import PATIENCE_MS, Agenda, now_ms
from batcher.database_file import BEYOND_USE
from batcher.recalculation import Parts, Recalculation
from batcher.schedule.night_books import NightBooks
from batcher.schedule.nights import Night, State, due_night, how_done, made_up, why_closed
from batcher.sites import Site
from batcher.triggers import Cause
from batcher.workbench import Workbench
from schemas.instants import rfc3339

POLL_S = 1.0
BEAT_S = 600.0  # one calculation may take minutes
NOBODY_ASKED = "nobody asked for it, and schedule.builtin is off"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request to do a night's job: `outcome` is `done`, `already done`, `refused` or `failed`."""

    site_id: str
    night: date
    outcome: str
    why: str | None = None


class Nightly:
    """Makes the jobs of our sites' nights, unless beginning them is left to others (`schedule.builtin`)."""

    def __init__(self, bench: Workbench, agenda: Agenda, parts: Parts, recalculation: Recalculation) -> None:
        self._bench, self._agenda, self._parts, self._recalculation = bench, agenda, parts, recalculation
        self.books = NightBooks(bench)
        self._due_since: dict[str, int] = {}  # in milliseconds of `now_ms`, as is `_try_at`
        self._try_at: dict[str, int] = {}
        self._hindrances: dict[str, dict[date, str]] = {}  # site → why the job of its last night did not begin
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self.tend()
            await asyncio.sleep(POLL_S)

    async def tend(self) -> None:
        """Enter what was missed, then make the jobs that are due now."""
        async with self._one_at_a_time:
            sites = await self._sites()
            self._bench.health.beat("schedule", BEAT_S)
            for site in sites:
                await self._begin(site)
                self._bench.health.beat("schedule", BEAT_S)
            self.books.show()
            metrics.DEFERRED_SITES.set(len(self._agenda.deferred_sites))

    async def request(self, site: Site, *, outside: bool) -> Answer:
        """Make the job of a site's present night, if that was not made; `outside`: also outside of off-peak hours.

        A blackout refuses it in any case.
        """
        async with self._one_at_a_time:
            await self._sites()
            night = self._bench.calendar.night_of(site.site_id, self._bench.wall_ms())
            entry = self.books.of(site.site_id).get(night)
            if entry is not None and entry.state is State.DONE:
                return Answer(site.site_id, night, "already done", entry.why)
            if reason := self.refusal(site.site_id, outside=outside) or self._hindrance(site):
                return Answer(site.site_id, night, "refused", reason)
            ended = await self._make(site, night, outside)
            return Answer(site.site_id, night, "done" if ended.state is State.DONE else "failed", ended.why)

    def refusal(self, site_id: str, *, outside: bool = False) -> str | None:
        """Why nothing may begin or go on at a site now, and until when; None where it may."""
        calendar, wall_ms = self._bench.calendar, self._bench.wall_ms()
        blackout_ends_ms, reason = calendar.blacked_out_until(site_id, wall_ms), why_closed(calendar, site_id, wall_ms)
        if reason is None or (outside and blackout_ends_ms is None):
            return None
        until_ms = calendar.next_open(site_id, wall_ms) if blackout_ends_ms is None else blackout_ends_ms
        return reason if until_ms is None else f"{reason} until {rfc3339(until_ms)}"

    def standing(self, site_id: str) -> dict[str, Any]:
        """How a site stands by the schedule now, as JSON values."""
        calendar, wall_ms = self._bench.calendar, self._bench.wall_ms()
        night = calendar.night_of(site_id, wall_ms)
        entry = self.books.of(site_id).get(night)
        waits = entry is None or entry.state is State.RUNNING
        return {
            "site_id": site_id,
            "time_zone": calendar.zone_of(site_id).key,
            "off_peak": str(calendar.off_peak_of(site_id)),
            "open_until": instant(calendar.open_until(site_id, wall_ms)),
            "next_open": instant(calendar.next_open(site_id, wall_ms)),
            "blacked_out_until": instant(calendar.blacked_out_until(site_id, wall_ms)),
            "closed_because": self.refusal(site_id),
            "night": night,
            "night_state": entry and entry.state,
            "waits_for": self._hindrances.get(site_id, {}).get(night) if waits else None,
            "deferred": site_id in self._agenda.deferred_sites,
            "overdue_s": self.books.overdue_ms(site_id) / 1000,
        }

    # -- the job -------------------------------------------------------------------------------------------------------

    async def _sites(self) -> list[Site]:
        """Our sites, whose books are up to date then."""
        partitions = self._parts.ownership.partitions
        sites = self._agenda.book.of({number for number, one in partitions.items() if one.ready})
        ours = [site.site_id for site in sites]
        for kept in (self._due_since, self._try_at, self._hindrances):
            for gone in kept.keys() - set(ours):
                del kept[gone]
                self._bench.health.clear(_key(gone))
        await self.books.keep(ours, self._hindrances)
        return sites

    async def _begin(self, site: Site) -> None:
        """Make the job of a site if it is due, unless others are to, something stands in its way, or it just failed."""
        site_id = site.site_id
        night = due_night(self._bench.calendar, site_id, self.books.of(site_id), self._bench.wall_ms())
        if night is None:
            self._due_since.pop(site_id, None)
        elif not self._bench.settings.schedule.builtin:
            self._hindrances[site_id] = {night: NOBODY_ASKED}
        elif hindrance := self._hindrance(site):
            self._hindrances[site_id] = {night: hindrance}
        elif now_ms() >= self._try_at.get(site_id, 0):
            await self._make(site, night, outside=False)

    def _hindrance(self, site: Site) -> str | None:
        """Why a job cannot begin yet."""
        holds, since = self._parts.loader.holds, self._due_since.setdefault(site.site_id, now_ms())
        if site.site_id in holds.sites:
            return holds.reason(site.site_id)
        if site.complete is None:
            return "none of its windows is complete"
        if self._parts.loader.is_loading(site.site_id) and now_ms() - since < PATIENCE_MS:
            return "batches of it are being loaded"
        return None

    async def _make(self, site: Site, night: date, outside: bool) -> Night:
        """The job, from its entry as running to what became of it."""
        site_id, former = site.site_id, self.books.of(site.site_id).get(night)
        started_ms = former.started_at_ms if former and former.started_at_ms is not None else self._bench.wall_ms()
        entry = Night(site_id, night, State.RUNNING, started_ms)
        await self.books.enter(entry)
        try:
            stopped = await self._calculate(site, outside)
        except BEYOND_USE:
            raise
        except duckdb.Error as error:
            return self._failed(entry, error)
        self._bench.health.clear(_key(site_id))
        self._hindrances.pop(site_id, None)
        if stopped is not None:
            ended = replace(entry, state=State.OVERRAN, why=f"stopped: {stopped}")
            await self.books.enter(ended)
        else:
            ended = replace(entry, state=State.DONE, finished_at_ms=self._bench.wall_ms(), why=how_done(former))
            await self.books.enter(ended, *made_up(self.books.of(site_id), ended))
        return ended

    def _failed(self, entry: Night, error: duckdb.Error) -> Night:
        """A job failed: it is tried again after a while."""
        why = f"it could not be calculated, trying again: {error}"
        self._try_at[entry.site_id] = now_ms() + round(1000 * self._bench.backoff_s)
        self._hindrances[entry.site_id] = {entry.night: why}
        self._bench.health.raise_reason(_key(entry.site_id), f"the nightly job of {entry.site_id} failed: {error}")
        self.books.remark(entry, why)
        return replace(entry, why=why)

    async def _calculate(self, site: Site, outside: bool) -> str | None:
        """Calculate every horizon as of the site's latest complete instant; why it stopped early, None if it did not.

        Raises:
            duckdb.Error: a calculation failed.
        """
        as_of_ms = site.complete_until_ms
        if as_of_ms is None:
            return "none of its windows is complete"
        for horizon in self._recalculation.horizons:
            if closed := self.refusal(site.site_id, outside=outside):
                return closed
            await self._recalculation.calculate(site.site_id, as_of_ms, horizon, Cause.SCHEDULE, newest=True)
        self._agenda.triggers.calculated(site.site_id, as_of_ms)
        metrics.RUNS.labels(Cause.SCHEDULE.name.lower()).inc()
        return None


def _key(site_id: str) -> str:
    """What readiness calls a job that fails."""
    return f"night of {site_id}"


def instant(at_ms: int | None) -> str | None:
    """RFC 3339, where there is an instant."""
    return None if at_ms is None else rfc3339(at_ms)
