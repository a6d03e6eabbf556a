"""A window is complete when every source partition has passed it and what they announced has been taken.

Timelines run in event time, in hours; `F` is a partition's frontier, `[ ]` an open window of the site, `i` idle.
"""

from zoneinfo import ZoneInfo

import pytest

from batcher.completeness import (
    Passage,
    PassageBoard,
    Place,
    complete_until,
    cut_otherwise,
    first_incomplete,
)
from batcher.sites import Site
from schemas.records import Counts, Frontier, OpenWindow, Window
from schemas.sources import Source
from schemas.windows import SiteWindows, SiteZones, WindowGrid, WindowSpec

HOUR = 3_600_000
HOURLY = WindowGrid(WindowSpec.parse("PT1H"), ZoneInfo("UTC"))
A = Place("A", partition=0, next_offset=10)
EVERYBODY = ["orders/0", "orders/1"]


def says(
    frontier: int | None, *, idle: bool = False, opens: dict[str, int] | None = None, announced: int | None = None
) -> Passage:
    """A record: hours for F and for the start of each site's first open window; the last manifest on partition 0."""
    first_open = {site: start * HOUR for site, start in (opens or {}).items()}
    return Passage(
        None if frontier is None else frontier * HOUR, idle, first_open, {} if announced is None else {0: announced}
    )


def board(**records: Passage | list[Passage]) -> PassageBoard:
    """A board on which `orders_0` is the partition `orders/0`; of a list the last is the newest."""
    made = PassageBoard()
    for name, found in records.items():
        for passage in found if isinstance(found, list) else [found]:
            made.put(name.replace("_", "/"), passage)
    return made


def hours_passed(made: PassageBoard, place: Place = A, partitions: list[str] = EVERYBODY) -> float | None:
    """Up to which hour everybody has passed for a site."""
    passed = made.passed(place, partitions)
    return None if passed is None else passed / HOUR


# -- frontiers ---------------------------------------------------------------------------------------------------------


def test_a_site_is_passed_up_to_the_lowest_frontier() -> None:
    """
    orders/0  ────────F 5
    orders/1  ────F 3
    """
    assert hours_passed(board(orders_0=says(5), orders_1=says(3))) == 3


def test_a_partition_without_a_record_has_passed_nothing() -> None:
    """A topic that was just given another partition holds completeness back until that partition speaks."""
    assert hours_passed(board(orders_0=says(5))) is None
    assert hours_passed(board(orders_0=says(5), orders_1=says(None))) is None
    assert hours_passed(PassageBoard()) is None


def test_a_partition_that_is_no_longer_configured_does_not_matter() -> None:
    """Only the partitions that the broker names are asked."""
    assert hours_passed(board(orders_0=says(5), old_0=says(1)), partitions=["orders/0"]) == 5


def test_a_partition_that_is_gone_has_passed_nothing() -> None:
    """A tombstone takes back what its record said."""
    made = board(orders_0=says(5), orders_1=says(5))
    made.remove("orders/1")
    assert hours_passed(made) is None


# -- idleness ----------------------------------------------------------------------------------------------------------


def test_an_idle_partition_with_nothing_open_holds_nothing_back() -> None:
    """
    orders/0  ────────F 5
    orders/1  ─F 1 i
    """
    assert hours_passed(board(orders_0=says(5), orders_1=says(1, idle=True))) == 5


def test_an_idle_partition_that_never_had_an_event_holds_nothing_back() -> None:
    """Its frontier is nowhere, but nothing is open."""
    assert hours_passed(board(orders_0=says(5), orders_1=says(None, idle=True))) == 5


def test_an_open_window_of_the_site_holds_an_idle_partition_back() -> None:
    """
    orders/0  ────────────F 5
    orders/1  ─F 1    [3  i
    """
    made = board(orders_0=says(5), orders_1=says(1, idle=True, opens={"A": 3}))
    assert hours_passed(made) == 3


def test_an_open_window_of_another_site_does_not() -> None:
    """What is open is counted site by site."""
    assert hours_passed(board(orders_0=says(5), orders_1=says(1, idle=True, opens={"B": 3}))) == 5


def test_an_open_window_before_the_frontier_does_not_take_back_what_f_has_passed() -> None:
    """The window that holds F is open and starts before it: F counts."""
    assert hours_passed(board(orders_0=says(5), orders_1=says(4, idle=True, opens={"A": 3}))) == 4


def test_idle_partitions_alone_complete_nothing_beyond_the_furthest_frontier() -> None:
    """When everybody is idle and nothing is open, nobody says how late it is, except by the frontiers."""
    assert hours_passed(board(orders_0=says(5, idle=True), orders_1=says(2, idle=True))) == 5
    assert hours_passed(board(orders_0=says(None, idle=True), orders_1=says(None, idle=True))) is None


# -- what has been taken -----------------------------------------------------------------------------------------------


def test_a_record_counts_once_its_manifests_are_taken() -> None:
    """The site has taken offsets below 10: a record that announced 9 counts, one that announced 10 does not."""
    assert hours_passed(board(orders_0=says(5, announced=9), orders_1=says(5))) == 5
    assert hours_passed(board(orders_0=says(5, announced=10), orders_1=says(5))) is None


def test_until_then_the_record_before_it_counts() -> None:
    """So a steady stream of checkpoints does not put completeness off for ever."""
    made = board(orders_0=[says(3, announced=7), says(4, announced=9), says(6, announced=12)], orders_1=says(9))
    assert hours_passed(made) == 4
    assert hours_passed(made, Place("A", 0, 13)) == 6


def test_manifests_of_other_partitions_of_the_batches_topic_do_not_matter() -> None:
    """A site's manifests are all on one partition."""
    assert hours_passed(board(orders_0=says(5, announced=99), orders_1=says(5)), Place("B", 1, 0)) == 5


def test_only_the_newest_record_can_say_that_a_partition_is_idle() -> None:
    """It was idle, then something came that has not been taken: now its older frontier counts."""
    made = board(orders_0=says(9), orders_1=[says(2, idle=True, announced=3), says(2, announced=30)])
    assert hours_passed(made) == 2


def test_records_that_nobody_needs_are_forgotten_and_the_answer_stays() -> None:
    """The newest record that is taken replaces those before it."""
    made = board(orders_0=[says(3, announced=7), says(4, announced=9), says(6, announced=12)], orders_1=says(9))
    made.forget_older({0: 10})
    assert hours_passed(made) == 4
    assert hours_passed(made, Place("A", 0, 8)) is None, "this is what was forgotten"


def test_records_that_are_not_taken_are_bounded_and_the_oldest_and_the_newest_stay() -> None:
    """A worker that is catching up for an hour does not keep every checkpoint of that hour."""
    made = board(orders_1=says(99_999))
    for number in range(10_000):
        made.put("orders/0", says(number, announced=number))
    assert hours_passed(made, Place("A", 0, 1)) == 0
    assert hours_passed(made, Place("A", 0, 10_000)) == 9_999
    assert len(made._records["orders/0"]) <= 32


def opened(site: str, start: int, end: int) -> OpenWindow:
    """An open window, in hours."""
    return OpenWindow(site_id=site, start=start * HOUR, end=end * HOUR, first_offset=0, count=1, offsets_hash="0" * 16)


def record_with(*windows: OpenWindow) -> Frontier:
    """A frontier record of an idle partition that is at hour 7."""
    return Frontier(
        source=Source.ORDERS,
        source_topic="orders",
        source_partition=0,
        topic_id="t",
        checkpoint_seq=1,
        position=9,
        frontier=7 * HOUR,
        max_event_time=8 * HOUR,
        committed=4,
        settings_hash="h",
        manifests={2: 5},
        open_windows=windows,
        counts=Counts(delivered=9),
        idle=True,
        worker_id="w",
        pipeline_version="0",
        checkpoint_at=0,
    )


def test_what_a_record_says_is_read_from_it() -> None:
    """The first open window of each site, not the last that stands there."""
    passage = Passage.of(record_with(opened("A", 7, 8), opened("A", 8, 9), opened("B", 9, 10)))
    assert passage == Passage(7 * HOUR, True, {"A": 7 * HOUR, "B": 9 * HOUR}, {2: 5})


def test_a_record_whose_windows_are_not_ours_is_found_out() -> None:
    """A batch worker that cuts by the hour what stream workers cut by the day would call open hours complete."""
    hourly = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}))
    assert cut_otherwise(hourly, record_with()) is None
    assert cut_otherwise(hourly, record_with(opened("A", 7, 8), opened("A", 8, 9))) is None
    day = opened("A", 0, 24)
    assert cut_otherwise(hourly, record_with(opened("A", 7, 8), day)) == day


# -- windows -----------------------------------------------------------------------------------------------------------


def test_a_site_is_complete_until_the_last_window_that_ends_within_what_was_passed() -> None:
    """
    first fact 2:30, passed 5:59 → 5: the window of hour 5 ends at 6
    """
    assert complete_until(HOURLY, 2 * HOUR + HOUR // 2, 6 * HOUR - 1) == 5 * HOUR
    assert complete_until(HOURLY, 2 * HOUR + HOUR // 2, 6 * HOUR) == 6 * HOUR


def test_nothing_is_complete_before_the_window_of_the_first_fact_is() -> None:
    """Sources that have not got there yet would have a site calculated that has nothing."""
    assert complete_until(HOURLY, 4 * HOUR, 4 * HOUR) is None
    assert complete_until(HOURLY, 4 * HOUR, 5 * HOUR - 1) is None
    assert complete_until(HOURLY, 4 * HOUR, 5 * HOUR) == 5 * HOUR


def site(first_fact_hour: int) -> Site:
    """A site of hourly windows."""
    return Site("A", 0, HOURLY, first_fact_hour * HOUR)


def advance(of: Site, hours: int) -> int | None:
    """Everybody has passed so many hours: the hour until which the site is newly complete."""
    until = of.advance(hours * HOUR)
    if until is not None:
        of.complete_until_ms = until
    return until and until // HOUR


def test_only_what_was_not_complete_before_is_new() -> None:
    """Twice the same says nothing new; nor does a frontier that is behind."""
    made = site(2)
    assert [advance(made, hours) for hours in (5, 5, 3, 7)] == [5, None, None, 7]


def test_a_backlog_of_old_windows_leaves_no_hole() -> None:
    """
    orders   ─────────────────[100 … 110)F     windows to 110 are complete while returns are idle with nothing open
    returns  ─i     [20)F 21 … F 60 … F 111    then a backlog begins that is older than everything
    """
    made = site(100)
    assert advance(made, 110) == 110
    made.first_fact_ms = 20 * HOUR
    assert [advance(made, hours) for hours in (21, 60, 110)] == [None, None, None]
    assert made.first_incomplete(60 * HOUR) is None, "what was complete stays so"
    assert made.first_incomplete(111 * HOUR) == Window(110 * HOUR, 111 * HOUR)
    assert advance(made, 111) == 111


def test_one_fact_of_1970_costs_nothing() -> None:
    """Millions of windows since then are one number, not so many rows."""
    by_second = WindowGrid(WindowSpec.parse("PT1S"), ZoneInfo("UTC"))
    now = 1_790_000_000_000
    assert complete_until(by_second, 0, now) == now
    assert by_second.count_between(0, now) == now // 1000


@pytest.mark.parametrize(
    ("as_of", "incomplete"),
    [(0, None), (2, None), (2.5, None), (5, None), (5.001, 5), (9, 5)],
)
def test_an_instant_is_complete_when_all_windows_that_start_before_it_are(as_of: float, incomplete: int | None) -> None:
    """
    complete until 5, the first fact was at 2:30: the window of hour 5 starts before 5.001
    """
    found = first_incomplete(HOURLY, 2 * HOUR + 7, round(as_of * HOUR), 5 * HOUR)
    assert (found and found.start // HOUR) == incomplete


def test_without_a_complete_window_no_instant_is_complete() -> None:
    """Nor one before the first fact that is known: what is open may hold earlier ones."""
    assert first_incomplete(HOURLY, 2 * HOUR + 7, 3 * HOUR, None) == Window(2 * HOUR, 3 * HOUR)
    assert first_incomplete(HOURLY, 2 * HOUR + 7, 2 * HOUR, None) == Window(HOUR, 2 * HOUR)
    assert first_incomplete(HOURLY, 2 * HOUR + 7, HOUR // 2, None) == Window(0, HOUR)
