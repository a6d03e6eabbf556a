"""What became of a site's nights, and what is therefore to be done now. Pure: `now_ms` is passed in.

1. The job of a night is due from the first open instant on, once. Outside of open stretches nothing begins.
2. A job that the end of its stretch overtakes stops at the next boundary and is due again in the next stretch, of the
   same night or a later one.
3. A night whose window passed without its job is missed. It is made up for by the next job that is done, however many
   nights were missed: there is one velocity to calculate, not one per night.
4. A site is told about from the night on in which it was first seen, or came back from another worker: earlier ones
   were not due here, and what it left open when it went is the other one's to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from batcher.schedule.calendar import Calendar

REMEMBERED_NIGHTS = 35
ABSENT = "no worker that owned the site was running"
CUT_OFF = "it did not come to its end"
NEW, BACK = "the site was not known yet", "another worker had the site"


class State(StrEnum):
    """What became of a night."""

    NOT_DUE = "not due"  # the site was not here, or not known, while its window was open
    LEFT = "left"  # from this night on another worker has the site, and its book
    RUNNING = "running"
    OVERRAN = "overran"
    DONE = "done"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Night:
    """A site's night. `finished_at_ms` of one that was missed or overran is when it was made up for."""

    site_id: str
    night: date
    state: State
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    why: str | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done of it."""
        return self.state in (State.DONE, State.NOT_DUE, State.LEFT) or self.finished_at_ms is not None


Book = Mapping[date, Night]
"""Nights of a site by name, at least from the last settled one on."""


def first_entry(calendar: Calendar, site_id: str, why: str, now_ms: int) -> Night:
    """The entry of a site that has come here: the last night that was not due."""
    night = calendar.night_of(site_id, now_ms)
    if now_ms < calendar.off_peak_window(site_id, night)[1]:
        night = calendar.night_before(site_id, night)
    return Night(site_id, night, State.NOT_DUE, why=why)


def last_entries(calendar: Calendar, site_id: str, book: Book, now_ms: int) -> list[Night]:
    """The entries of a site that goes to another worker: what is open is settled, and the next night is that one's."""
    settled = [
        replace(entry, finished_at_ms=now_ms, why=f"{entry.why or CUT_OFF}; the site went to another worker")
        for entry in book.values()
        if not entry.settled
    ]
    after = calendar.night_after(site_id, calendar.night_of(site_id, now_ms))
    return [*settled, Night(site_id, after, State.LEFT)]


def newly_missed(
    calendar: Calendar, site_id: str, book: Book, hindrances: Mapping[date, str], now_ms: int
) -> list[Night]:
    """Nights after the newest one in the book whose window passed without a job; `hindrances` say why it did not begin.

    Of a long absence only the last `REMEMBERED_NIGHTS` are told.
    """
    last = calendar.night_of(site_id, now_ms)
    if now_ms < calendar.off_peak_window(site_id, last)[1]:
        last = calendar.night_before(site_id, last)
    known, missed = max(book), list[Night]()
    while last > known and len(missed) < REMEMBERED_NIGHTS:
        why = _why_missed(calendar, site_id, last, hindrances.get(last))
        missed.append(Night(site_id, last, State.MISSED, why=why))
        last = calendar.night_before(site_id, last)
    return missed[::-1]


def _why_missed(calendar: Calendar, site_id: str, night: date, hindrance: str | None) -> str:
    window = calendar.off_peak_window(site_id, night)
    if calendar.is_open_within(site_id, window):
        return hindrance or ABSENT
    kinds = calendar.kinds_at(site_id, window[0])
    return f"blacked out from its beginning to its end: {', '.join(kinds)}"


def due_night(calendar: Calendar, site_id: str, book: Book, now_ms: int) -> date | None:
    """The night whose job is due now; None if that is done, or the site closed."""
    if calendar.open_until(site_id, now_ms) is None:
        return None
    night = calendar.night_of(site_id, now_ms)
    entry = book.get(night)
    return None if entry is not None and entry.state in (State.DONE, State.NOT_DUE) else night


def overdue_ms(calendar: Calendar, site_id: str, book: Book, now_ms: int) -> int:
    """For how long the window of the first night that is not made up for has been over; 0 without one."""
    open_nights = [entry.night for entry in book.values() if not entry.settled]
    return max((now_ms - calendar.off_peak_window(site_id, night)[1] for night in open_nights), default=0)


def made_up(book: Book, job: Night) -> list[Night]:
    """Earlier nights that a job which is done makes up for, as they are from now on."""
    return [
        replace(
            entry,
            state=State.MISSED if entry.state is State.MISSED else State.OVERRAN,
            finished_at_ms=job.finished_at_ms,
            why=f"{entry.why or CUT_OFF}; made up for in the night of {job.night}",
        )
        for entry in book.values()
        if entry.night < job.night and not entry.settled
    ]


def why_closed(calendar: Calendar, site_id: str, now_ms: int) -> str | None:
    """Why nothing may begin at a site, with its kind of blackout; None where it is open."""
    if calendar.open_until(site_id, now_ms) is not None:
        return None
    kinds = calendar.kinds_at(site_id, now_ms)
    return f"blacked out for {', '.join(kinds)}" if kinds else f"outside of {calendar.off_peak_of(site_id)}"


def how_done(former: Night | None) -> str | None:
    """What is remarkable about a night that is done in the end, by what stood of it before."""
    remarks = {State.MISSED: "late: its window was missed", State.OVERRAN: "in more than one stretch"}
    return remarks.get(former.state) if former else None
