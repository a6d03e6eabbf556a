"""A site's week of the schedule: days in its own wall time, cell by cell. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from batcher.schedule.calendar import Calendar
from batcher.schedule.days import Day, days_of
from console.schedule_board import SIGNS, night_text, remarks_on, standing_text

CELL_MINUTES = 30
DAYS = 7


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring cells that hold the same: `kind` is open, closed, left out or a kind of blackout."""

    kind: str
    sign: str
    start: str
    end: str
    cells: int


@dataclass(frozen=True, slots=True)
class WeekDay:
    """A day; `said` is all of it in words."""

    name: str
    stretches: tuple[Stretch, ...]
    night: str
    remarks: tuple[str, ...]

    @property
    def said(self) -> str:
        """Its stretches in words."""
        return ", ".join(f"{one.kind} {one.start}–{one.end}" for one in self.stretches)


@dataclass(frozen=True, slots=True)
class Week:
    """A site's week; `standing` is how it is at the moment, where its worker says so."""

    site_id: str
    zone: str
    off_peak: str
    standing: str
    days: tuple[WeekDay, ...]


def week_of(calendar: Calendar, site_id: str, first: date, standing: Mapping[str, Any] | None) -> Week:
    """A week from a local day on; `standing` is the site's row of `/api/v1/schedule`."""
    nights = {night["night"]: night for night in (standing or {}).get("nights", ())}
    return Week(
        site_id,
        calendar.zone_of(site_id).key,
        str(calendar.off_peak_of(site_id)),
        standing_text(standing) if standing else "",
        tuple(_day(day, nights.get(day.day.isoformat())) for day in days_of(calendar, site_id, first, DAYS)),
    )


def _day(day: Day, night: Mapping[str, Any] | None) -> WeekDay:
    stretches: list[Stretch] = []
    for number, kind in enumerate(day.cells(CELL_MINUTES)):
        start, end = _clock(number), _clock(number + 1)
        if stretches and stretches[-1].kind == kind:
            last = stretches[-1]
            stretches[-1] = Stretch(kind, last.sign, last.start, end, last.cells + 1)
        else:
            stretches.append(Stretch(str(kind), SIGNS[kind][0], start, end, 1))
    return WeekDay(f"{day.day:%a %d %b}", tuple(stretches), night_text(day, night), tuple(remarks_on(day, night)))


def _clock(number: int) -> str:
    minutes = number * CELL_MINUTES
    return f"{minutes // 60:02}:{minutes % 60:02}"
