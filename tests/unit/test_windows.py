"""Windows follow the wall clock through DST, and what cannot be cut is refused."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from schemas.records import Window
from schemas.windows import DAY_MS, SiteWindows, SiteZones, WindowGrid, WindowSpec

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    """UTC milliseconds of an ISO 8601 instant with an offset."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def grid(spec: str, zone: str) -> WindowGrid:
    return WindowGrid(WindowSpec.parse(spec), ZoneInfo(zone))


def local_day(zone: str, noon: str) -> Window:
    """The window of a site-local day, found from its noon."""
    return grid("local-day", zone).window_of(ms(noon))


# -- fixed -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "size_ms"),
    [("PT1H", HOUR_MS), ("PT15M", 900_000), ("PT90M", 5_400_000), ("PT1H30M", 5_400_000), ("PT5S", 5_000)],
)
def test_a_fixed_window_divides_the_utc_day(spec: str, size_ms: int) -> None:
    """[start, end): the start belongs to it, the end to the next, and midnight UTC always starts one."""
    cut = grid(spec, "UTC")
    midnight = ms("2024-02-29T00:00:00Z")
    first = Window(midnight, midnight + size_ms)
    assert cut.window_of(midnight) == cut.window_of(midnight + size_ms - 1) == first
    assert cut.window_of(midnight - 1) == Window(midnight - size_ms, midnight)
    assert cut.window_of(midnight + size_ms).start == first.end
    assert WindowSpec.parse(spec).longest_ms == size_ms


def test_a_day_is_the_largest_fixed_window() -> None:
    """PT24H is the UTC day, whatever the zone."""
    assert grid("PT24H", "Asia/Tokyo").window_of(ms("2024-03-10T20:00:00Z")) == Window(
        ms("2024-03-10T00:00:00Z"), ms("2024-03-11T00:00:00Z")
    )


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("PT7H", "does not divide a day"),
        ("PT48H", "does not divide a day"),
        ("PT11S", "does not divide a day"),
        ("PT0H", "is no window"),
        ("PT", "is no window"),
        ("P1D", "is no window"),
        ("1h", "is no window"),
        ("", "is no window"),
        ("LOCAL-DAY", "is no window"),
        ("PT1H ", "is no window"),
        ("shifts:", "a shift starts at a wall time"),
        ("shifts:6am", "a shift starts at a wall time"),
        ("shifts:24:00", "a shift starts at a wall time"),
        ("shifts:06:00,,22:00", "a shift starts at a wall time"),
        ("shifts:14:00,06:00", "ascending"),
        ("shifts:06:00,06:00", "ascending"),
        ("shifts:06:00+01:00", "ascending"),
    ],
)
def test_a_spec_that_cannot_cut_time_is_refused(spec: str, why: str) -> None:
    """The message quotes the spec or says what is wrong with it."""
    with pytest.raises(ValueError, match=why):
        WindowSpec.parse(spec)


# -- local days --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/London", "2011-03-01T12:00:00+00:00", 24),
        ("Europe/London", "2011-03-27T12:00:00+01:00", 23),
        ("Europe/London", "2011-10-30T12:00:00+00:00", 25),
        ("America/New_York", "2025-03-09T12:00:00-04:00", 23),
        ("America/New_York", "2025-11-02T12:00:00-05:00", 25),
        ("Australia/Lord_Howe", "2021-10-03T12:00:00+11:00", 23.5),
        ("Australia/Lord_Howe", "2021-04-04T12:00:00+10:30", 24.5),
        ("Antarctica/Troll", "2024-03-31T12:00:00+02:00", 22),
        ("Antarctica/Troll", "2024-10-27T12:00:00+00:00", 26),
    ],
)
def test_the_day_of_a_dst_change_is_shorter_or_longer(zone: str, noon: str, hours: float) -> None:
    """By as much as the clocks are moved, which is half an hour on Lord Howe Island and two in Troll."""
    day = local_day(zone, noon)
    assert day.end - day.start == hours * HOUR_MS
    for bound in (day.start, day.end):
        wall = datetime.fromtimestamp(bound / 1000, ZoneInfo(zone))
        assert (wall.hour, wall.minute) == (0, 0)


@pytest.mark.parametrize(
    ("zone", "noon", "start", "hours"),
    [
        ("America/Sao_Paulo", "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", 23),
        ("Asia/Beirut", "2022-03-27T12:00:00+03:00", "2022-03-27T01:00:00+03:00", 23),
        ("Africa/Cairo", "2023-04-28T12:00:00+03:00", "2023-04-28T01:00:00+03:00", 23),
    ],
)
def test_a_day_without_midnight_starts_when_its_clock_does(zone: str, noon: str, start: str, hours: int) -> None:
    """
    wall  22   23 | 01   02      the hour from 00:00 to 01:00 is skipped
    day  ─ Sat ──▶│◀── Sun ─
    """
    assert local_day(zone, noon) == Window(ms(start), ms(start) + hours * HOUR_MS)


def test_a_day_with_two_midnights_starts_at_the_first() -> None:
    """
    wall  22   23 | 00   00   01     Havana goes back at 01:00 to 00:00
    day  ─ Sat ──▶│◀── Sun ───
    """
    assert local_day("America/Havana", "2021-11-07T12:00:00-05:00") == Window(
        ms("2021-11-07T00:00:00-04:00"), ms("2021-11-08T00:00:00-05:00")
    )


def test_a_day_that_clocks_fall_back_into_has_ended_all_the_same() -> None:
    """
    wall  23:00 | 00:00 00:01→23:01  23:59  00:00     St John's went back to the evening before
    day  ─ Sat ▶│◀────────────── Sun ────────────     Saturday is over once its midnight has struck
    """
    cut = grid("local-day", "America/St_Johns")
    sunday = Window(ms("2010-11-07T00:00:00-02:30"), ms("2010-11-08T00:00:00-03:30"))
    assert cut.window_of(ms("2010-11-06T23:59:59-02:30")).end == sunday.start
    assert cut.window_of(ms("2010-11-07T00:00:30-02:30")) == sunday
    assert cut.window_of(ms("2010-11-06T23:30:00-03:30")) == sunday
    assert cut.window_of(ms("2010-11-07T12:00:00-03:30")) == sunday


def test_a_day_that_never_was_has_no_window() -> None:
    """Apia crossed the date line: Thursday the 29th was followed by Saturday the 31st."""
    cut = grid("local-day", "Pacific/Apia")
    thursday = cut.window_of(ms("2011-12-29T12:00:00-10:00"))
    saturday = cut.window_of(ms("2011-12-31T12:00:00+14:00"))
    assert thursday.end == saturday.start == ms("2011-12-31T00:00:00+14:00")
    assert thursday.end - thursday.start == saturday.end - saturday.start == DAY_MS
    late_shift = grid("shifts:22:00", "Pacific/Apia").window_of(ms("2011-12-31T00:30:00+14:00"))
    assert late_shift == Window(ms("2011-12-29T22:00:00-10:00"), ms("2011-12-31T22:00:00+14:00"))


def test_a_grid_forgets_days_but_not_windows() -> None:
    """After events of twenty years it answers as it did at first."""
    cut = grid("local-day", "Europe/London")
    noon = ms("2004-01-01T12:00:00Z")
    days = [cut.window_of(noon + day * DAY_MS) for day in range(366 * 20)]
    assert [cut.window_of(noon + day * DAY_MS) for day in range(300)] == days[:300]
    assert all(before.end == after.start for before, after in pairwise(days))


# -- shifts ------------------------------------------------------------------------------------------------------------


def test_shifts_start_at_their_wall_times_and_the_last_spans_midnight() -> None:
    """
    wall  06:00       14:00       22:00       06:00
           ├── early ──┼── late ───┼── night ──┤
    """
    cut = grid("shifts:06:00,14:00,22:00", "Europe/Berlin")
    begin, end = ms("2024-01-10T06:00:00+01:00"), ms("2024-01-11T06:00:00+01:00")
    found = cut.windows_between(begin, end)
    assert [(window.end - window.start) / HOUR_MS for window in found] == [8, 8, 8]
    assert found[-1] == cut.window_of(ms("2024-01-11T05:59:59.999+01:00"))


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2024-03-31T03:30:00+02:00", 7), ("2024-10-27T03:30:00+01:00", 9), ("2024-10-28T03:30:00+01:00", 8)],
)
def test_the_night_shift_of_a_dst_change_is_shorter_or_longer(day: str, hours: int) -> None:
    """The other shifts keep their eight hours."""
    night = grid("shifts:06:00,14:00,22:00", "Europe/Berlin").window_of(ms(day))
    assert night.end - night.start == hours * HOUR_MS


def test_a_shift_that_starts_in_a_gap_starts_later_by_the_gap() -> None:
    """01:30 does not exist in London on 27 March 2011: it is 02:30 summer time."""
    cut = grid("shifts:01:30,09:00", "Europe/London")
    assert cut.window_of(ms("2011-03-27T08:00:00+01:00")).start == ms("2011-03-27T02:30:00+01:00")


def test_a_shift_that_starts_twice_starts_the_first_time() -> None:
    """01:30 comes twice in London on 30 October 2011; the second is in the middle of the shift."""
    cut = grid("shifts:01:30,09:00", "Europe/London")
    assert cut.window_of(ms("2011-10-30T01:30:00+00:00")).start == ms("2011-10-30T01:30:00+01:00")


def test_shifts_that_a_gap_moves_onto_each_other_are_one() -> None:
    """New York, 9 March 2025: 02:30 moves to 03:30, where the next shift starts; an empty window is none."""
    cut = grid("shifts:02:30,03:30,12:00", "America/New_York")
    found = cut.windows_between(ms("2025-03-09T00:00:00-05:00"), ms("2025-03-09T12:00:00-04:00"))
    assert [window.end for window in found] == [ms("2025-03-09T03:30:00-04:00"), ms("2025-03-09T12:00:00-04:00")]


# -- sites -------------------------------------------------------------------------------------------------------------


def test_each_site_follows_its_own_zone_and_others_the_default() -> None:
    """The same instant is in different days; a site that no file names is in the default zone."""
    windows = SiteWindows(WindowSpec.parse("local-day"), SiteZones({"US-NY1": "America/New_York"}, "Asia/Tokyo"))
    instant = ms("2025-01-02T02:00:00Z")
    assert windows.window_of("US-NY1", instant).start == ms("2025-01-01T00:00:00-05:00")
    assert windows.window_of("anything", instant).start == ms("2025-01-02T00:00:00+09:00")


def test_sites_of_one_zone_share_a_grid_and_fixed_windows_one_altogether() -> None:
    """So that a worker with a thousand sites keeps a handful of grids."""
    zones = SiteZones({"A": "Europe/Paris", "B": "Europe/Paris", "C": "Asia/Tokyo"})
    local = SiteWindows(WindowSpec.parse("local-day"), zones)
    assert local.grid_of("A") is local.grid_of("B") is not local.grid_of("C")
    assert set(local.grids) == {"Asia/Tokyo", "Europe/Paris", "UTC"}
    hourly = SiteWindows(WindowSpec.parse("PT1H"), zones)
    assert hourly.grid_of("A") is hourly.grid_of("C") and list(hourly.grids) == ["UTC"]


def test_the_floors_change_exactly_when_a_window_of_some_zone_ends() -> None:
    """A partition is due for a checkpoint when its frontier crosses a window's end anywhere."""
    windows = SiteWindows(WindowSpec.parse("local-day"), SiteZones({"A": "Asia/Kolkata"}))
    kolkata, utc = ms("2025-06-01T00:00:00+05:30"), ms("2025-06-01T00:00:00Z")
    assert windows.floors(kolkata - 1) != windows.floors(kolkata) == windows.floors(utc - 1) != windows.floors(utc)


def test_a_zone_that_does_not_exist_is_refused() -> None:
    """At start, not at the first event of the site."""
    with pytest.raises(ZoneInfoNotFoundError):
        SiteZones({"A": "Europe/Atlantis"})


@pytest.mark.parametrize("spec", ["PT1H", "PT15M", "local-day", "shifts:06:00,14:00,22:00"])
def test_windows_are_counted_without_being_made(spec: str) -> None:
    """As many as there are, wherever the bounds fall."""
    cut, begin = grid(spec, "Europe/London"), ms("2025-03-29T00:00:00Z")
    for start in (begin, begin + 1, begin + HOUR_MS - 1):
        for end in (start - 1, start, start + 1, begin + HOUR_MS, begin + 49 * HOUR_MS, begin + 49 * HOUR_MS + 1):
            assert cut.count_between(start, end) == len(cut.windows_between(start, end)), (start, end)


def test_windows_between_are_those_that_intersect() -> None:
    """Half-open on both sides: a window that only touches the bounds is not among them."""
    cut = grid("PT1H", "UTC")
    begin = ms("2025-06-01T00:00:00Z")
    assert cut.windows_between(begin, begin) == []
    assert cut.windows_between(begin, begin + 1) == [Window(begin, begin + HOUR_MS)]
    assert len(cut.windows_between(begin + 1, begin + 2 * HOUR_MS + 1)) == 3
    assert len(cut.windows_between(begin, begin + 2 * HOUR_MS)) == 2
