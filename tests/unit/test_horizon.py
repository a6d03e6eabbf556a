"""Horizons look back by the wall clock of the site."""

from zoneinfo import ZoneInfo

import pytest

from batcher.horizon import HORIZONS, days_before
from schemas.instants import parse_rfc3339 as at
from schemas.instants import rfc3339

LONDON = ZoneInfo("Europe/London")
NEW_YORK = ZoneInfo("America/New_York")
ROLLING = HORIZONS["rolling_30d"]


def test_thirty_calendar_days_across_the_change_to_summer_time_are_an_hour_short() -> None:
    """Midnight in London on 15 April (BST) looks back to midnight on 16 March (GMT): 719 hours."""
    start = ROLLING.start(at("2011-04-15T00:00:00+01:00"), LONDON)
    assert rfc3339(start) == "2011-03-16T00:00:00Z"
    assert at("2011-04-15T00:00:00+01:00") - start == 719 * 3_600_000


def test_thirty_calendar_days_across_the_change_to_winter_time_are_an_hour_long() -> None:
    """Midnight in New York on 15 November (EST) looks back to midnight on 16 October (EDT): 721 hours."""
    start = ROLLING.start(at("2011-11-15T00:00:00-05:00"), NEW_YORK)
    assert start == at("2011-10-16T00:00:00-04:00")
    assert at("2011-11-15T00:00:00-05:00") - start == 721 * 3_600_000


def test_a_wall_time_that_does_not_exist_moves_forward_by_the_gap() -> None:
    """01:30 on 27 March 2011 does not exist in London: 02:30 BST is meant."""
    assert days_before(at("2011-03-28T01:30:00+01:00"), 1, LONDON) == at("2011-03-27T02:30:00+01:00")


def test_a_wall_time_that_exists_twice_is_the_first() -> None:
    """01:30 on 30 October 2011 comes twice in London: the one in BST is meant, also seen from a second 01:30."""
    assert days_before(at("2011-10-31T01:30:00Z"), 1, LONDON) == at("2011-10-30T01:30:00+01:00")
    second = at("2011-10-30T01:30:00Z")
    assert days_before(second, 0, LONDON) == at("2011-10-30T01:30:00+01:00")


def test_milliseconds_are_kept() -> None:
    """An instant between two seconds looks back to one."""
    assert days_before(at("2011-06-30T12:00:00.123Z"), 30, ZoneInfo("UTC")) == at("2011-05-31T12:00:00.123Z")


def test_the_blocks_are_four_weeks_by_the_wall_clock_that_end_at_the_instant() -> None:
    """
    28 days   21 days   14 days   7 days   as_of
       |---------|---------|--------|--------|        DST begins in the last: it is 167 hours long
    """
    as_of = at("2011-03-30T00:00:00+01:00")
    bounds = ROLLING.block_bounds(as_of, LONDON)
    assert [rfc3339(bound) for bound in bounds] == [
        "2011-03-02T00:00:00Z",
        "2011-03-09T00:00:00Z",
        "2011-03-16T00:00:00Z",
        "2011-03-23T00:00:00Z",
        "2011-03-29T23:00:00Z",
    ]
    assert bounds[-1] == as_of


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_bounds_ascend_within_the_horizon(zone: str) -> None:
    """On every day of a year, in zones with odd offsets too, start < blocks < as_of."""
    for day in range(365):
        as_of = at("2011-01-01T00:30:00Z") + day * 86_400_000
        bounds = ROLLING.block_bounds(as_of, ZoneInfo(zone))
        assert ROLLING.start(as_of, ZoneInfo(zone)) < bounds[0] < bounds[1] < bounds[2] < bounds[3] < bounds[4] == as_of
