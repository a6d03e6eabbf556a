"""F follows event time and never goes back; a partition is idle only when its log has truly ended for a while.

Timelines run left to right in wall time; `M` marks a record that moves M, `.` one that does not (late or malformed),
`?` the asking for an end offset, `E` its answer.
"""

from dataclasses import replace

import pytest

from streams.event_clock import DAY_MS, ClockRules, EventClock

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
NOON = 1_774_699_200_000  # 2026-03-28T12:00Z
LATENESS = 10 * MINUTE
RULES = ClockRules(LATENESS, idle_timeout_ms=MINUTE, idle_policy="advance", longest_window_ms=HOUR)


def seen(at: int = NOON, policy: str = "advance") -> EventClock:
    """A clock that has just seen a record of event time `at`."""
    clock = EventClock(replace(RULES, idle_policy=policy))
    clock.observe(at)
    return clock


def found_quiet(clock: EventClock, now: int, end_offset: int) -> None:
    """Half of the rules for idleness: the quiet time has passed by `now`, and the log then ended at `end_offset`."""
    clock.wants_probe(now - MINUTE)
    assert clock.wants_probe(now)
    clock.probed(end_offset, clock.max_event_time)


# -- F and M -----------------------------------------------------------------------------------------------------------


def test_the_frontier_trails_the_latest_event_time() -> None:
    """
    event time  12:00 ── 11:55 ── 12:20
    M           12:00    12:00    12:20
    F           11:50    11:50    12:10
    """
    clock = EventClock(RULES)
    assert (clock.frontier, clock.max_event_time) == (None, None)
    steps = [clock.observe(NOON), clock.observe(NOON - 5 * MINUTE), clock.observe(NOON + 20 * MINUTE)]
    assert steps == [True, False, True]
    assert (clock.frontier, clock.max_event_time) == (NOON + 10 * MINUTE, NOON + 20 * MINUTE)


def test_the_frontier_never_goes_back() -> None:
    """An instant before F changes nothing, also one that a newer event time gives after a drain has gone ahead."""
    clock = seen()
    assert clock.advance_to(NOON + HOUR)
    assert not clock.advance_to(NOON)
    assert not clock.advance_to(NOON + HOUR)
    assert not clock.observe(NOON + MINUTE)
    assert (clock.frontier, clock.max_event_time) == (NOON + HOUR, NOON + MINUTE)


# -- when to ask -------------------------------------------------------------------------------------------------------


def test_an_end_offset_is_asked_for_when_the_quiet_time_has_passed() -> None:
    """
    M ──────── 1 min ────────?
    """
    clock = seen()
    assert not clock.wants_probe(NOON)
    assert not clock.wants_probe(NOON + MINUTE - 1)
    assert clock.wants_probe(NOON + MINUTE)


def test_a_record_that_moves_m_starts_the_quiet_time_again() -> None:
    """
    M ── 59 s ── M ──────── 1 min ────────?
    """
    clock = seen()
    assert not clock.wants_probe(NOON)
    clock.observe(NOON + SECOND)
    assert not clock.wants_probe(NOON + 59 * SECOND)
    assert not clock.wants_probe(NOON + MINUTE + 58 * SECOND)
    assert clock.wants_probe(NOON + MINUTE + 59 * SECOND)


@pytest.mark.parametrize("behind", [0, 1, HOUR])
def test_a_record_that_is_no_later_than_m_does_not_start_it_again(behind: int) -> None:
    """
    M ── 59 s ── . ──?
    """
    clock = seen()
    assert not clock.wants_probe(NOON)
    clock.observe(NOON - behind)
    assert clock.wants_probe(NOON + MINUTE)


def test_one_answer_is_enough_until_m_moves() -> None:
    """
    M ── 1 min ──? E ── never again ── M ── 1 min ──?
    """
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=5)
    assert not clock.wants_probe(NOON + HOUR)
    clock.observe(NOON + SECOND)
    assert not clock.wants_probe(NOON + HOUR)
    assert clock.wants_probe(NOON + HOUR + MINUTE)


def test_an_answer_is_void_if_m_moved_after_it_was_asked_for() -> None:
    """
    M ── 1 min ──? ── M ── E      the end was that of a log which had not yet been quiet
    """
    clock = seen()
    clock.wants_probe(NOON)
    assert clock.wants_probe(NOON + MINUTE)
    asked_with = clock.max_event_time
    clock.observe(NOON + SECOND)
    clock.probed(5, asked_with)
    clock.settle_idleness(position=5, now=NOON + HOUR)
    assert not clock.idle


def test_an_answer_holds_if_only_a_late_record_came_meanwhile() -> None:
    """
    M ── 1 min ──? ── . ── E
    """
    clock = seen()
    asked_with = clock.max_event_time
    clock.observe(NOON - HOUR)
    clock.probed(5, asked_with)
    clock.settle_idleness(position=6, now=NOON + MINUTE)
    assert clock.idle


# -- idle or not -------------------------------------------------------------------------------------------------------


def test_without_an_end_offset_nobody_is_idle() -> None:
    """However long it is quiet, F stays: perhaps the broker cannot be reached."""
    clock = seen()
    assert not clock.settle_idleness(position=10**9, now=NOON + DAY_MS)
    assert (clock.idle, clock.frontier) == (False, NOON - LATENESS)


def test_a_slow_consumer_is_not_idle() -> None:
    """
    offsets   0 ····· 4 |N ········· 9 |E      not idle: five records are still to come
    offsets   0 ··················· 9 |N,E     idle, if none of the five moved M
    """
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=10)
    assert not clock.settle_idleness(position=9, now=NOON + HOUR)
    assert (clock.idle, clock.frontier) == (False, NOON - LATENESS)
    assert clock.settle_idleness(position=10, now=NOON + HOUR)
    assert clock.idle


def test_a_slow_consumer_that_finds_a_newer_record_is_not_idle() -> None:
    """
    offsets   0 ····· 4 |N ··· M ····· 9 |E      M moves before N gets to E, so E says nothing any more
    """
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=10)
    clock.observe(NOON + SECOND)
    assert not clock.settle_idleness(position=10, now=NOON + HOUR)
    assert not clock.idle


def test_malformed_and_late_records_do_not_keep_a_partition_awake() -> None:
    """
    M ── . . . . . ? . . E . . . . .      idle, while the log goes on growing
    """
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=1_000)
    for position in range(1_000, 1_050):
        clock.observe(NOON - HOUR)
        clock.settle_idleness(position, NOON + HOUR + position)
        assert clock.idle
    assert clock.frontier == NOON + HOUR + 1_049 - LATENESS


def test_a_record_that_moves_m_wakes_it() -> None:
    """
    M ── 1 min ──? E (idle) ── M (awake)
    """
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=5)
    clock.settle_idleness(5, NOON + MINUTE)
    assert clock.idle
    clock.observe(NOON + SECOND)
    assert not clock.idle
    assert not clock.settle_idleness(6, NOON + MINUTE + SECOND)
    assert not clock.idle


# -- what an idle partition's frontier does ----------------------------------------------------------------------------


def test_an_idle_frontier_follows_the_wall_clock_and_m_stays() -> None:
    """F is the wall clock less the lateness, tick by tick; M remains what the records said."""
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=5)
    for now in (NOON + 20 * MINUTE, NOON + 21 * MINUTE):
        assert clock.settle_idleness(5, now)
        assert (clock.frontier, clock.max_event_time) == (now - LATENESS, NOON)
    assert not clock.settle_idleness(5, NOON + 21 * MINUTE)


def test_a_wall_clock_that_was_set_back_moves_nothing() -> None:
    """F never goes back, whatever the clock on the wall does."""
    clock = seen()
    found_quiet(clock, NOON + MINUTE, end_offset=5)
    assert not clock.settle_idleness(5, NOON - HOUR)
    assert clock.frontier == NOON - LATENESS


def test_under_hold_an_idle_frontier_stays() -> None:
    """The partition says that it is idle, and that is all."""
    clock = seen(policy="hold")
    found_quiet(clock, NOON + MINUTE, end_offset=5)
    assert not clock.settle_idleness(5, NOON + HOUR)
    assert (clock.idle, clock.frontier) == (True, NOON - LATENESS)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("beyond", "follows"), [(0, True), (1, False)])
def test_a_backfill_does_not_follow_the_wall_clock(sign: int, beyond: int, follows: bool) -> None:
    """
    M ├── 24 h + the longest window + the lateness ──┤ now       follows
    M ├── 24 h + the longest window + the lateness ────┤ now     stays: these events are not of today
    """
    near = DAY_MS + HOUR + LATENESS
    now = NOON + sign * (near + beyond)
    clock = seen()
    clock.frontier = now - 2 * DAY_MS
    found_quiet(clock, now, end_offset=5)
    assert clock.settle_idleness(5, now) == follows
    assert clock.idle
    assert clock.frontier == (now - LATENESS if follows else now - 2 * DAY_MS)


@pytest.mark.parametrize(("policy", "frontier"), [("advance", NOON - LATENESS), ("hold", None)])
def test_a_partition_without_events(policy: str, frontier: int | None) -> None:
    """Where no event was ever seen there is no backfill to protect: F follows the wall clock, unless told to hold."""
    clock = EventClock(replace(RULES, idle_policy=policy))
    found_quiet(clock, NOON, end_offset=0)
    clock.settle_idleness(0, NOON)
    assert (clock.idle, clock.frontier, clock.max_event_time) == (True, frontier, None)
