"""What became of a site's nights, and what is due: as told by the book, at instants that the tests choose."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from batcher.schedule.calendar import Calendar
from batcher.schedule.nights import (
    ABSENT,
    NEW,
    Book,
    Night,
    State,
    due_night,
    first_entry,
    made_up,
    newly_missed,
    overdue_ms,
    why_closed,
)
from batcher.schedule.rules import Dated, Kind, Opening, Rules, SiteRules, Weekly
from schemas.wall_spans import WallSpan
from schemas.windows import SiteZones

HOUR = 3_600_000
D = [date(2026, 7, number) for number in range(1, 10)]
PLAIN = Calendar()


def at(text: str, zone: str = "UTC") -> int:
    """UTC milliseconds of a wall time of July 2026, `DAY HH:MM`, or of a whole date."""
    moment = text if text.count("-") == 2 else f"2026-07-{text}"
    return round(datetime.fromisoformat(moment.replace(" ", "T")).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def calendar(**rules: object) -> Calendar:
    """Of every site, in UTC."""
    return Calendar(Rules(SiteRules(**rules)))  # type: ignore[arg-type]


def book(*entries: Night) -> Book:
    return {entry.night: entry for entry in entries}


def done(night: date) -> Night:
    return Night("S", night, State.DONE, 1, 2)


def test_a_job_is_due_from_the_opening_on_once() -> None:
    """Not before 02:00, not after 04:00, not again once it is done."""
    known = book(done(D[0]))
    assert due_night(PLAIN, "S", known, at("02 01:59")) is None
    assert due_night(PLAIN, "S", known, at("02 02:00")) == D[1]
    assert due_night(PLAIN, "S", known, at("02 04:00")) is None
    assert due_night(PLAIN, "S", book(done(D[0]), done(D[1])), at("02 02:30")) is None


def test_a_job_waits_for_the_end_of_a_blackout() -> None:
    """An audit from 01:00 to 03:00 leaves it the second hour."""
    audit = calendar(weekly=(Weekly(frozenset(range(7)), WallSpan.parse("01:00-03:00"), Kind.INVENTORY_AUDIT),))
    assert due_night(audit, "S", {}, at("02 02:30")) is None
    assert why_closed(audit, "S", at("02 02:30")) == "blacked out for inventory audit"
    assert due_night(audit, "S", {}, at("02 03:00")) == D[1]
    assert why_closed(audit, "S", at("02 03:00")) is None
    assert why_closed(audit, "S", at("02 05:00")) == "outside of 02:00-04:00"


def test_an_overrun_is_due_again_in_the_next_stretch() -> None:
    """Of the same night where there is one, else in the next night, whose job it becomes."""
    overran = book(done(D[0]), Night("S", D[1], State.OVERRAN, at("02 03:00")))
    opening = calendar(openings=(Opening(D[1], WallSpan.parse("12:00-13:00")),))
    assert due_night(opening, "S", overran, at("02 12:00")) == D[1]
    assert due_night(PLAIN, "S", overran, at("02 12:00")) is None
    assert due_night(PLAIN, "S", overran, at("03 02:00")) == D[2]
    job = Night("S", D[2], State.DONE, at("03 02:00"), at("03 02:10"))
    (settled,) = made_up(overran, job)
    assert (settled.state, settled.finished_at_ms) == (State.OVERRAN, at("03 02:10"))
    assert settled.why == "it did not come to its end; made up for in the night of 2026-07-03"


def test_a_job_that_a_crash_cut_off_is_due_again() -> None:
    """It stands as running, and nobody is at it."""
    assert due_night(PLAIN, "S", book(Night("S", D[1], State.RUNNING, at("02 02:00"))), at("02 02:05")) == D[1]


def test_nights_of_an_absence_are_missed_and_made_up_for_once() -> None:
    """Down from the 2nd to the 4th, back at 10:00: three nights are missed, and one job makes up for them."""
    known = book(done(D[0]))
    missed = newly_missed(PLAIN, "S", known, {}, at("04 10:00"))
    assert [(entry.night, entry.state, entry.why) for entry in missed] == [
        (night, State.MISSED, ABSENT) for night in D[1:4]
    ]
    known = {**known, **book(*missed)}
    assert newly_missed(PLAIN, "S", known, {}, at("05 01:00")) == []
    assert due_night(PLAIN, "S", known, at("05 01:00")) is None
    assert overdue_ms(PLAIN, "S", known, at("05 01:00")) == 3 * 24 * HOUR - 3 * HOUR  # since 04:00 of the 2nd
    assert due_night(PLAIN, "S", known, at("05 02:00")) == D[4]
    job = Night("S", D[4], State.DONE, at("05 02:00"), at("05 02:01"))
    settled = made_up(known, job)
    assert [entry.night for entry in settled] == D[1:4]
    assert all("made up for in the night of 2026-07-05" in (entry.why or "") for entry in settled)
    known = {**known, **book(*settled, job)}
    assert overdue_ms(PLAIN, "S", known, at("05 09:00")) == 0
    assert made_up(known, done(D[5])) == []


def test_a_worker_that_comes_back_within_the_window_makes_the_job_of_that_night() -> None:
    """The nights before are missed; this one is not."""
    missed = newly_missed(PLAIN, "S", book(done(D[0])), {}, at("03 02:30"))
    assert [entry.night for entry in missed] == [D[1]]
    assert due_night(PLAIN, "S", book(done(D[0]), *missed), at("03 02:30")) == D[2]


def test_a_long_absence_is_told_for_its_last_nights() -> None:
    """A year off does not become 365 entries."""
    missed = newly_missed(PLAIN, "S", book(done(date(2025, 7, 1))), {}, at("04 10:00"))
    assert len(missed) == 35
    assert missed[-1].night == D[3]


def test_a_night_that_was_blacked_out_altogether_is_missed_for_that_reason() -> None:
    """Nobody failed; but the velocity of that night is not there, and the next one makes up for it."""
    closed = calendar(dated=(Dated(D[1], None, Kind.RECEIVING),))
    (missed,) = newly_missed(closed, "S", book(done(D[0])), {D[1]: "held"}, at("02 04:00"))
    assert missed.why == "blacked out from its beginning to its end: receiving"


def test_a_night_whose_job_could_not_begin_says_why() -> None:
    """The window was open and the worker there; what stood in the way is told."""
    (missed,) = newly_missed(PLAIN, "S", book(done(D[0])), {D[1]: "site S is held: damaged"}, at("02 04:00"))
    assert missed.why == "site S is held: damaged"


def test_a_site_that_is_new_has_missed_nothing() -> None:
    """Seen first at noon, its first job is that of the coming night; seen first at 03:00, that of this one."""
    for seen, due in (("02 12:00", D[2]), ("02 03:00", D[1]), ("02 01:00", D[1])):
        entry = first_entry(PLAIN, "S", NEW, at(seen))
        assert newly_missed(PLAIN, "S", book(entry), {}, at(seen)) == []
        assert overdue_ms(PLAIN, "S", book(entry), at(seen)) == 0
        assert due_night(PLAIN, "S", book(entry), at(f"{due.day:02} 03:30")) == due


def nights_of(zone: str, window: str, first: str, last: str) -> list[date]:
    """The jobs of a site that is looked at every ten minutes, by the rules alone."""
    site = Calendar(Rules(SiteRules(WallSpan.parse(window))), SiteZones({}, zone))
    now = at(first, zone)
    known, jobs = dict(book(first_entry(site, "S", NEW, now))), list[date]()
    while now < at(last, zone):
        assert newly_missed(site, "S", known, {}, now) == []
        if (night := due_night(site, "S", known, now)) is not None:
            jobs.append(night)
            known[night] = done(night)
        now += 600_000
    return jobs


def test_the_nights_of_both_changes_of_the_clock_have_one_job_each() -> None:
    """Whether 01:30 comes twice or 02:30 never: every date once, in its order."""
    for window in ("01:00-02:00", "01:30-02:30", "02:00-03:00", "02:00-04:00", "23:30-02:30"):
        for zone, spring, autumn in (
            ("Europe/London", date(2026, 3, 29), date(2026, 10, 25)),
            ("America/New_York", date(2026, 3, 8), date(2026, 11, 1)),
        ):
            for change in (spring, autumn):
                before, *around, after = (change + timedelta(days=delta) for delta in range(-2, 4))
                jobs = nights_of(zone, window, f"{before} 00:30", f"{after} 00:30")
                assert [job for job in jobs if job in around] == around, (zone, window, change)
                assert len(set(jobs)) == len(jobs)
