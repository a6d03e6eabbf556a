"""When a site is open, blacked out, and which night it is; every instant is written as its wall clock shows it."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from batcher.schedule.calendar import Calendar
from batcher.schedule.rules import Dated, Kind, Opening, Rules, SiteRules, Weekly
from schemas.wall_spans import WallSpan
from schemas.windows import SiteZones

HOUR = 3_600_000
EVERY_DAY = frozenset(range(7))


def span(text: str) -> WallSpan:
    return WallSpan.parse(text)


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    """UTC milliseconds of a wall time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def calendar(zone: str = "UTC", **rules: object) -> Calendar:
    """The calendar of site S alone."""
    return Calendar(Rules(SiteRules(**rules)), SiteZones({"S": zone}))  # type: ignore[arg-type]


# -- what a rule means -------------------------------------------------------------------------------------------------


def test_a_site_is_open_in_its_off_peak_window_and_closed_otherwise() -> None:
    """Half-open: at 02:00 it is, at 04:00 it is not. Outside of the window it is not blacked out either."""
    site = calendar("Europe/London")
    assert site.open_until("S", at("2026-07-01T01:59:59", "Europe/London")) is None
    assert site.open_until("S", at("2026-07-01T02:00", "Europe/London")) == at("2026-07-01T04:00", "Europe/London")
    assert site.open_until("S", at("2026-07-01T04:00", "Europe/London")) is None
    assert site.next_open("S", at("2026-07-01T04:00", "Europe/London")) == at("2026-07-02T02:00", "Europe/London")
    assert site.next_open("S", at("2026-07-01T03:00", "Europe/London")) == at("2026-07-01T03:00", "Europe/London")
    assert site.blacked_out_until("S", at("2026-07-01T12:00", "Europe/London")) is None


def test_a_window_across_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """One stretch, one night."""
    site = calendar(off_peak=span("22:00-04:00"))
    for moment in ("2026-07-01T22:00", "2026-07-01T23:59", "2026-07-02T03:59"):
        assert site.open_until("S", at(moment)) == at("2026-07-02T04:00")
        assert site.night_of("S", at(moment)) == date(2026, 7, 1)
    assert site.night_of("S", at("2026-07-02T21:59")) == date(2026, 7, 1)


def test_a_blackout_cuts_a_window_in_two() -> None:
    """
    off-peak  02:00 ──────────────── 06:00
    audit            03:00 ── 04:00
    open      02:00 ─ 03:00   04:00 ─ 06:00
    """
    audit = Weekly(EVERY_DAY, span("03:00-04:00"), Kind.INVENTORY_AUDIT)
    site = calendar(off_peak=span("02:00-06:00"), weekly=(audit,))
    assert site.open_until("S", at("2026-07-01T02:30")) == at("2026-07-01T03:00")
    assert site.open_until("S", at("2026-07-01T03:30")) is None
    assert site.blacked_out_until("S", at("2026-07-01T03:30")) == at("2026-07-01T04:00")
    assert site.kinds_at("S", at("2026-07-01T03:30")) == [Kind.INVENTORY_AUDIT]
    assert site.open_until("S", at("2026-07-01T04:00")) == at("2026-07-01T06:00")


def test_blackouts_that_run_into_each_other_end_together() -> None:
    """Receiving until 10:00, a shift handoff from 09:45: what waits, waits until 10:15."""
    receiving = Weekly(EVERY_DAY, span("06:00-10:00"), Kind.RECEIVING)
    handoff = Weekly(EVERY_DAY, span("09:45-10:15"), Kind.SHIFT_HANDOFF)
    site = calendar(weekly=(receiving, handoff))
    assert site.blacked_out_until("S", at("2026-07-01T07:00")) == at("2026-07-01T10:15")
    assert site.kinds_at("S", at("2026-07-01T09:50")) == [Kind.RECEIVING, Kind.SHIFT_HANDOFF]


def test_a_weekly_blackout_across_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Sunday's night shift: Monday 01:00 is blacked out, Sunday 01:00 is not."""
    site = calendar(weekly=(Weekly(frozenset({6}), span("23:00-02:30"), Kind.PICKING_WAVE),))
    assert site.blacked_out_until("S", at("2026-07-06T01:00")) == at("2026-07-06T02:30")
    assert site.blacked_out_until("S", at("2026-07-05T01:00")) is None


def test_a_dated_opening_wins_over_a_weekly_blackout_and_a_dated_blackout_over_both() -> None:
    """Christmas is open all day, but for the generator's test."""
    site = calendar(
        weekly=(Weekly(EVERY_DAY, span("06:00-18:00"), Kind.PICKING_WAVE),),
        openings=(Opening(date(2026, 12, 25), None),),
        dated=(Dated(date(2026, 12, 25), span("12:00-13:00"), Kind.OTHER),),
    )
    assert site.open_until("S", at("2026-12-25T07:00")) == at("2026-12-25T12:00")
    assert site.blacked_out_until("S", at("2026-12-25T12:30")) == at("2026-12-25T13:00")
    assert site.open_until("S", at("2026-12-25T13:00")) == at("2026-12-26T00:00")
    assert site.blacked_out_until("S", at("2026-12-26T07:00")) == at("2026-12-26T18:00")


def test_a_site_that_never_opens_says_so() -> None:
    """All days blacked out: there is no next opening within a year."""
    site = calendar(weekly=(Weekly(EVERY_DAY, span("00:00-24:00"), Kind.OTHER),))
    assert site.next_open("S", at("2026-07-01T00:00")) is None


def test_an_opening_months_away_is_found() -> None:
    """Blacked out every day, open on New Year's Eve."""
    never = Weekly(EVERY_DAY, span("00:00-24:00"), Kind.OTHER)
    site = calendar(weekly=(never,), openings=(Opening(date(2026, 12, 31), span("10:00-11:00")),))
    assert site.next_open("S", at("2026-07-01T00:00")) == at("2026-12-31T10:00")


# -- where clocks change -----------------------------------------------------------------------------------------------


def test_a_window_that_clocks_jump_into_is_shorter() -> None:
    """New York, 2026-03-08: 02:00 does not exist and moves to 03:00; the window ends at 04:00."""
    site = calendar("America/New_York")
    start = at("2026-03-08T03:00", "America/New_York")
    assert site.off_peak_window("S", date(2026, 3, 8)) == (start, start + HOUR)


def test_a_window_that_clocks_jump_over_is_as_long_as_ever() -> None:
    """02:00-03:00 does not exist on that night; its job is not left out: the window is 03:00-04:00."""
    site = calendar("America/New_York", off_peak=span("02:00-03:00"))
    start = at("2026-03-08T03:00", "America/New_York")
    assert site.off_peak_window("S", date(2026, 3, 8)) == (start, start + HOUR)
    assert site.night_of("S", start) == date(2026, 3, 8)
    assert site.night_of("S", start - 1) == date(2026, 3, 7)


def test_a_window_that_exists_twice_is_the_first() -> None:
    """New York, 2026-11-01: 01:00 to 02:00 comes twice."""
    site = calendar("America/New_York", off_peak=span("01:00-01:30"))
    first, second = (at("2026-11-01T01:00", "America/New_York", fold) for fold in (0, 1))
    assert second - first == HOUR
    assert site.off_peak_window("S", date(2026, 11, 1)) == (first, first + HOUR // 2)
    assert site.open_until("S", second) is None
    assert site.night_of("S", second) == date(2026, 11, 1)


def test_a_blackout_that_ends_twice_ends_the_second_time() -> None:
    """Rather an hour too long than in the way of work."""
    site = calendar("America/New_York", weekly=(Weekly(EVERY_DAY, span("00:30-01:30"), Kind.RECEIVING),))
    begin, end = at("2026-11-01T00:30", "America/New_York"), at("2026-11-01T01:30", "America/New_York", fold=1)
    assert end - begin == 2 * HOUR
    assert site.blacked_out_until("S", begin) == end


def test_a_day_that_the_zone_left_out_has_no_night() -> None:
    """Pacific/Apia went from 2011-12-29 to 2011-12-31."""
    site = calendar("Pacific/Apia")
    assert site.night_after("S", date(2011, 12, 29)) == date(2011, 12, 31)
    assert site.night_before("S", date(2011, 12, 31)) == date(2011, 12, 29)
    assert site.night_of("S", at("2011-12-31T02:00", "Pacific/Apia")) == date(2011, 12, 31)
    assert site.night_of("S", at("2011-12-31T01:59", "Pacific/Apia")) == date(2011, 12, 29)


# -- spans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["02:00", "2:00-4:00", "02:00-25:00", "02:00-24:30", "02:60-03:00", "", "02:00-02:00"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """An empty one too: a whole day is 00:00-24:00."""
    with pytest.raises(ValueError, match=r"00:00-24:00|02:00-04:00"):
        WallSpan.parse(text)


@pytest.mark.parametrize("text", ["02:00-04:00", "22:00-06:00", "00:00-24:00", "12:30-24:00"])
def test_a_span_is_written_as_it_is_read(text: str) -> None:
    """`str` is the inverse of `parse`."""
    assert str(WallSpan.parse(text)) == text
