"""Windows tile time: every instant is in exactly one, in any zone, through any change of its clocks."""

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import DAY_MS, SiteZones, WindowGrid, WindowSpec, local_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_MS = 32_503_680_000_000  # the year 3000
SPECS = ["PT1H", "PT5M", "local-day", "shifts:06:00,14:00,22:00", "shifts:22:00", "shifts:00:30,01:30,02:30,23:30"]
specs, local_specs = st.sampled_from(SPECS), st.sampled_from(SPECS[2:])
#: Zones whose clocks change at midnight, by half an hour, by many hours, across midnight, by a whole day, or never.
ZONES = [
    *("UTC", "Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "America/Havana"),
    *("Australia/Lord_Howe", "America/St_Johns", "America/Moncton", "Antarctica/Casey", "Antarctica/Vostok"),
    *("Pacific/Apia", "Pacific/Kwajalein", "Africa/Monrovia", "Asia/Kathmandu", "Africa/Casablanca"),
]


def instant(at_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at_ms)


@cache
def changes(zone: ZoneInfo) -> list[int]:
    """UTC milliseconds, to within a day, at which the zone's clocks were changed from 1970 to 2040."""
    days = [day * DAY_MS for day in range(70 * 366)]
    offsets = [instant(at_ms).astimezone(zone).utcoffset() for at_ms in days]
    return [at_ms for at_ms, before, after in zip(days[1:], offsets, offsets[1:], strict=False) if before != after] or [
        0
    ]


@cache
def instants(zone: ZoneInfo) -> st.SearchStrategy[int]:
    """Most within two days of a change of clocks, to the minute and to the millisecond; some anywhere.

    Made once for all examples: to make them takes longer than to draw from them.
    """
    minutes = st.integers(-3 * 1440, 3 * 1440).map(lambda minute: minute * 60_000)
    step = minutes | st.integers(-2 * DAY_MS, 2 * DAY_MS)
    near = st.builds(lambda at_ms, by_ms: max(0, at_ms + by_ms), st.sampled_from(changes(zone)), step)
    return near | near | st.integers(0, END_MS - 1)


@pytest.mark.parametrize("name", ZONES)
@given(data=st.data())
def test_windows_tile_time(name: str, data: st.DataObject) -> None:
    """
    ──┤ window ├┤ window ├┤ window ├──   no gap, no overlap: each instant of a window finds that window, whichever
              ▲▲                         instants were asked before; its end is the next one's start
    """
    zone = ZoneInfo(name)
    spec = WindowSpec.parse(data.draw(specs))
    grid = WindowGrid(spec, zone)
    at_ms = data.draw(instants(zone))
    window = grid.window_of(at_ms)
    assert window.start <= at_ms < window.end
    assert window.end - window.start <= max(spec.longest_ms, DAY_MS)
    inside = data.draw(st.integers(window.start, window.end - 1))
    for other in (window.start, inside, window.end - 1):
        assert grid.window_of(other) == window == WindowGrid(spec, zone).window_of(other)
    assert grid.window_of(window.end).start == window.end
    assert grid.window_of(window.start - 1).end == window.start


@pytest.mark.parametrize("name", ZONES)
@given(data=st.data())
def test_every_boundary_starts_a_window(name: str, data: st.DataObject) -> None:
    """A shift of any local day starts where the wall clock says, and every window starts at such a boundary."""
    zone = ZoneInfo(name)
    spec = WindowSpec.parse(data.draw(local_specs))
    grid = WindowGrid(spec, zone)
    at_ms = data.draw(instants(zone))
    day = instant(at_ms).astimezone(zone).date()
    for wall in spec.boundaries:
        start = local_instant(day, wall, zone)
        assert grid.window_of(start).start == start
    around = [day + timedelta(days=delta) for delta in range(-2, 3)]
    assert grid.window_of(at_ms).start in {local_instant(d, wall, zone) for d in around for wall in spec.boundaries}


@pytest.mark.parametrize("name", ZONES)
@given(data=st.data())
def test_a_wall_time_is_its_first_instant_or_moves_forward_by_the_gap(name: str, data: st.DataObject) -> None:
    """One that exists twice is the first; one that does not exist is later by what the clocks were put forward."""
    zone = ZoneInfo(name)
    around = instant(data.draw(instants(zone))).astimezone(zone)
    day, wall = around.date(), data.draw(st.sampled_from([time(0), time(0, 30), time(2, 30)]) | st.just(around.time()))
    wanted = datetime.combine(day, wall.replace(microsecond=0, fold=0))
    found = instant(local_instant(wanted.date(), wanted.time(), zone))
    gap = found.astimezone(zone).replace(tzinfo=None) - wanted
    if gap:
        before = (found - gap).astimezone(zone).utcoffset()
        assert gap > timedelta(0) and before == wanted.replace(tzinfo=UTC) - found
    else:  # clocks were never put back by more than seven hours
        earlier = (found - timedelta(minutes=30 * step) for step in range(1, 15))
        assert all(other.astimezone(zone).replace(tzinfo=None) != wanted for other in earlier)


def test_zones_come_from_the_pinned_package() -> None:
    """The host's zone data could differ from one worker to the next."""
    assert SiteZones({}, "Europe/London").default == "Europe/London"
    assert zoneinfo.TZPATH == ()
    assert instant(local_instant(date(2011, 3, 27), time(1, 30), ZoneInfo("Europe/London"))).hour == 1
