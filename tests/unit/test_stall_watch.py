"""A fetch that went missing and is followed by none is noticed after a while, and no sooner."""

from streams.stall_watch import STALL_S, StallWatch


def test_a_partition_behind_what_was_read_of_it_is_stalled_after_a_while() -> None:
    """Once, then the clock starts anew."""
    watch = StallWatch()
    assert not watch.stalled("p", 10, 5, 0.0, busy=False)
    assert not watch.stalled("p", 10, 5, STALL_S, busy=False)
    assert watch.stalled("p", 10, 5, STALL_S + 0.1, busy=False)
    assert not watch.stalled("p", 10, 5, STALL_S + 0.2, busy=False)


def test_progress_being_busy_and_having_nothing_to_read_start_the_clock_anew() -> None:
    """Whatever explains that the position stands still is no stall."""
    for reached, position, busy in ((10, 6, False), (10, 5, True), (5, 5, False), (None, 5, False)):
        watch = StallWatch()
        watch.stalled("p", 10, 5, 0.0, busy=False)
        watch.stalled("p", reached, position, STALL_S, busy=busy)
        assert not watch.stalled("p", 10, 6 if position == 6 else 5, STALL_S + 1, busy=False)


def test_partitions_are_watched_one_by_one() -> None:
    """One that moves does not hide one that does not."""
    watch = StallWatch()
    watch.stalled("p", 10, 5, 0.0, busy=False)
    watch.stalled("q", 10, 5, 0.0, busy=False)
    assert not watch.stalled("q", 10, 6, STALL_S + 1, busy=False)
    assert watch.stalled("p", 10, 5, STALL_S + 1, busy=False)
