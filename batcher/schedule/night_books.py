"""The books of our sites' nights: the database's table, what was missed, and the gauges that show them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date

import structlog

from batcher import metrics
from batcher.schedule.night_table import read_nights, remove_night, write_nights
from batcher.schedule.nights import (
    BACK,
    CUT_OFF,
    NEW,
    Night,
    State,
    first_entry,
    last_entries,
    newly_missed,
    overdue_ms,
)
from batcher.workbench import Workbench

log = structlog.get_logger(__name__)

_TOLD = (State.DONE, State.MISSED, State.OVERRAN)
_GAUGES = (metrics.SCHEDULE_OPEN, metrics.NIGHT_DONE, metrics.OVERDUE)


class NightBooks:
    """A book per site that is ours."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._books: dict[str, dict[date, Night]] = {}

    def of(self, site_id: str) -> Mapping[date, Night]:
        """A site's nights, as far as they are remembered."""
        return self._books.get(site_id, {})

    async def keep(self, site_ids: Collection[str], hindrances: Mapping[str, Mapping[date, str]]) -> None:
        """Open the books of sites that have come, close those of sites that have gone, and enter what has passed.

        No job may be in hand. `hindrances` tells by site and night why a job has not begun.
        """
        for gone in self._books.keys() - set(site_ids):
            await self._close(gone)
        for site_id in site_ids:
            if site_id not in self._books:
                await self._open(site_id)
            await self.enter(*self._cut_off(site_id), *self._missed(site_id, hindrances.get(site_id, {})))

    async def enter(self, *nights: Night) -> None:
        """Enter nights of sites that are ours, each instead of what was known of it."""
        if not nights:
            return
        await self._bench.database.write(write_nights, nights)
        for entry in nights:
            book = self._books.setdefault(entry.site_id, {})
            before, book[entry.night] = book.get(entry.night), entry
            if entry.state in _TOLD and (before is None or before.state is not entry.state):
                _tell(entry)

    def remark(self, entry: Night, why: str) -> None:
        """Note something about a night for as long as this worker lives."""
        self._books[entry.site_id][entry.night] = replace(entry, why=why)

    def overdue_ms(self, site_id: str) -> int:
        """See `nights.overdue_ms`."""
        return overdue_ms(self._bench.calendar, site_id, self.of(site_id), self._bench.wall_ms())

    def show(self) -> None:
        """Set the gauges."""
        calendar, wall_ms = self._bench.calendar, self._bench.wall_ms()
        for site_id, book in self._books.items():
            night = book.get(calendar.night_of(site_id, wall_ms))
            metrics.SCHEDULE_OPEN.labels(site_id).set(calendar.open_until(site_id, wall_ms) is not None)
            metrics.NIGHT_DONE.labels(site_id).set(night is not None and night.state is State.DONE)
            metrics.OVERDUE.labels(site_id).set(self.overdue_ms(site_id) / 1000)

    async def _open(self, site_id: str) -> None:
        nights = await self._bench.database.read(read_nights, site_id)
        left = nights.pop(0) if nights and nights[0].state is State.LEFT else None
        book = self._books[site_id] = {entry.night: entry for entry in nights}
        if nights and left is None:
            return
        entry = first_entry(self._bench.calendar, site_id, BACK if left else NEW, self._bench.wall_ms())
        if entry.night not in book:
            await self.enter(entry)
        if left is not None and left.night > entry.night:  # it is ours again before it was the other worker's
            await self._bench.database.write(remove_night, left)

    async def _close(self, site_id: str) -> None:
        """A site is no longer ours: its new owner keeps its book, and shows it."""
        book = self._books[site_id]
        await self.enter(*last_entries(self._bench.calendar, site_id, book, self._bench.wall_ms()))
        del self._books[site_id]
        for gauge in _GAUGES:
            gauge.remove(site_id)

    def _cut_off(self, site_id: str) -> list[Night]:
        """Jobs that a crash or failures kept from their end until the site closed."""
        if self._bench.calendar.open_until(site_id, self._bench.wall_ms()) is not None:
            return []
        running = [entry for entry in self._books[site_id].values() if entry.state is State.RUNNING]
        return [replace(one, state=State.OVERRAN, why=one.why or CUT_OFF) for one in running]

    def _missed(self, site_id: str, hindrances: Mapping[date, str]) -> list[Night]:
        return newly_missed(self._bench.calendar, site_id, self._books[site_id], hindrances, self._bench.wall_ms())


def _tell(entry: Night) -> None:
    metrics.NIGHTS.labels(entry.state.value).inc()
    say = log.info if entry.state is State.DONE else log.warning
    say("night", site_id=entry.site_id, night=str(entry.night), state=entry.state.value, why=entry.why)
