"""Horizons look back by the wall clock of the site."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from batcher.horizon import HORIZONS, Horizon, days_after, days_before, month_spans
from runtime.settings import VelocitySettings
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


def test_the_months_of_a_horizon_are_those_of_the_wall_clock() -> None:
    """
    1 March, GMT        1 April, BST       1 May        March is an hour short, and comes whole though the horizon
         |--------[-------|------------------)            begins in its middle and ends with April
    """
    spans = month_spans(at("2011-03-16T00:00:00Z"), at("2011-05-01T00:00:00+01:00"), LONDON)
    assert [(span.month, rfc3339(span.start_ms), rfc3339(span.end_ms)) for span in spans] == [
        (3, "2011-03-01T00:00:00Z", "2011-03-31T23:00:00Z"),
        (4, "2011-03-31T23:00:00Z", "2011-04-30T23:00:00Z"),
    ]


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_months_follow_each_other_without_a_gap_across_the_year(zone: str) -> None:
    """Each begins at midnight of its first day, where the one before ends."""
    spans = month_spans(at("2010-11-20T12:00:00Z"), at("2012-02-10T12:00:00Z"), ZoneInfo(zone))
    assert [span.month for span in spans] == [11, 12, *range(1, 13), 1, 2]
    assert all(one.end_ms == following.start_ms for one, following in pairwise(spans))
    begins = [datetime.fromtimestamp(span.start_ms / 1000, ZoneInfo(zone)) for span in spans]
    assert all((begin.day, begin.hour, begin.minute) == (1, 0, 0) for begin in begins)


def test_days_ahead_are_the_same_wall_time_and_none_is_the_instant_itself() -> None:
    """Also where the clock shows it twice: the second 01:30 in London is not the first."""
    second = at("2010-10-31T01:30:00Z")
    assert days_after(second, 0, LONDON) == second
    assert days_after(at("2011-03-26T01:30:00Z"), 1, LONDON) == at("2011-03-27T02:30:00+01:00")


@pytest.mark.parametrize("horizon", HORIZONS.values(), ids=HORIZONS)
def test_the_blocks_of_every_horizon_fit_into_it(horizon: Horizon) -> None:
    """They end at the instant, and settings name the same horizons."""
    assert horizon.blocks * horizon.block_days <= horizon.days
    as_of = at("2011-04-15T00:00:00+01:00")
    bounds = horizon.block_bounds(as_of, LONDON)
    assert len(bounds) == horizon.blocks + 1
    assert horizon.start(as_of, LONDON) <= bounds[0]
    assert VelocitySettings(horizons=(horizon.name,)).horizons == (horizon.name,)
