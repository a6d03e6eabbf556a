"""The rules of a source partition, one claim each. Windows are hourly, lateness is allowed for ten minutes.

Timelines name records by offset and event time; `F` is the frontier as the record found it.
"""

from dataclasses import replace

import pytest

from schemas.records import ClosedBy, Counts
from streams.partition import LostRecords, Partition
from tests.partition_fetches import BEGIN, HOUR, RULES, at, fall_idle, fetch, held, late, partition

# -- lateness ----------------------------------------------------------------------------------------------------------


DISORDER = [(0, "10:20"), (1, "11:05"), (2, "10:59"), (3, "11:10"), (4, "10:59"), (5, "11:00")]


def test_a_record_is_judged_by_the_frontier_it_found() -> None:
    """
    offset   0       1       2       3       4       5
    event    10:20   11:05   10:59   11:10   10:59   11:00
    F        –       10:10   10:55   10:55   11:00   11:00
    joins    10 h    11 h    10 h    11 h    late    11 h

    Offset 2 is in time although a record of the same fetch closes its window; 4 finds it closed.
    """
    state = partition(fetch(0, 6, *DISORDER))
    assert held(state) == {"10": 2, "11": 3}
    assert late(state) == [4]
    assert state.clock.frontier == at("11:00")
    assert state.counts == Counts(delivered=6, corrected=1)


@pytest.mark.parametrize("cut", range(1, 6))
def test_where_a_fetch_ends_changes_nothing(cut: int) -> None:
    """The same records in two fetches are judged the same."""
    whole = partition(fetch(0, 6, *DISORDER))
    parts = partition(fetch(0, cut, *DISORDER[:cut]), fetch(cut, 6, *DISORDER[cut:]))
    assert (held(parts), late(parts), parts.counts) == (held(whole), late(whole), whole.counts)
    assert parts.clock.frontier == whole.clock.frontier


def test_a_record_never_makes_itself_late() -> None:
    """Without any lateness allowed, F stands at the record's own event time, still before its window's end."""
    state = Partition.fresh(replace(RULES, max_out_of_orderness_ms=0), 0)
    state.admit(fetch(0, 2, (0, "10:59"), (1, "11:00")))
    assert (held(state), late(state)) == ({"10": 1, "11": 1}, [])
    state.admit(fetch(2, 3, (2, "10:59")))
    assert late(state) == [2]


def test_a_refused_record_moves_nothing_but_the_position() -> None:
    """It is a dead letter, counted and pending with its bytes; F, M and windows know nothing of it."""
    state = partition(fetch(0, 3, refused=[0, 2]))
    assert (state.position, state.clock.frontier, state.clock.max_event_time) == (3, None, None)
    assert [letter.offset for letter in state.pending.dead_letters] == [0, 2]
    assert state.pending.bytes == 200
    assert state.counts == Counts(delivered=2, dead=2)


def test_late_rows_weigh_on_the_next_checkpoint() -> None:
    """Corrections wait in memory, so their bytes count towards an early checkpoint."""
    state = partition(fetch(0, 1, (0, "12:00")))
    assert state.pending.bytes == 0
    state.admit(fetch(1, 2, (1, "10:00")))
    assert state.pending.bytes > 0


# -- fetches -----------------------------------------------------------------------------------------------------------


def test_a_fetch_from_beyond_the_position_is_refused() -> None:
    """
    taken    0 1 2 3
    fetch              5 6      4 was lost on the way: seek back to it, nothing has changed
    """
    state = partition(fetch(0, 4, (0, "10:00")))
    with pytest.raises(LostRecords, match="expected a fetch from 4, got one from 5") as lost:
        state.admit(fetch(5, 7, (5, "10:01"), refused=[6]))
    assert lost.value.position == 4
    assert (state.position, held(state), state.counts) == (4, {"10": 1}, Counts(delivered=1))
    assert not state.pending


def test_what_was_taken_is_not_taken_again() -> None:
    """
    taken    0 1 2 3
    fetch      1 2 3 4 5      only 4 and 5 are new
    """
    state = partition(fetch(0, 4, (0, "10:00"), (1, "10:01"), refused=[2, 3]))
    state.admit(fetch(1, 6, (1, "10:01"), (4, "10:02"), refused=[2, 3, 5]))
    assert (state.position, held(state)) == (6, {"10": 3})
    assert [letter.offset for letter in state.pending.dead_letters] == [2, 3, 5]
    assert state.counts == Counts(delivered=6, dead=3)
    before = (state.counts, held(state), state.clock.frontier)
    state.admit(fetch(0, 6, (0, "10:00"), refused=[5]))
    assert (state.counts, held(state), state.clock.frontier) == before


def test_markers_move_the_position() -> None:
    """A fetch may bring no record at all: control records and compaction leave holes."""
    state = partition(fetch(0, 1, (0, "10:00")), fetch(1, 9))
    assert (state.position, held(state), state.counts.delivered) == (9, {"10": 1}, 1)


# -- what closes a window ----------------------------------------------------------------------------------------------


def test_a_window_says_what_closed_it() -> None:
    """
    10 h closed by a record of 11:10 (watermark), 11 h by the wall clock (idle), 12 h by a drain
    """
    state = partition(fetch(0, 2, (0, "10:00"), (1, "11:10")))
    fall_idle(state, at("12:10"), end_offset=2)
    state.admit(fetch(2, 3, (2, "12:20")))
    state.drain_to(at("13:00"), "d1")
    causes = {(buffer.window.start - BEGIN) // HOUR: buffer.closed_by for buffer in state.windows}
    assert causes == {10: ClosedBy.WATERMARK, 11: ClosedBy.IDLE, 12: ClosedBy.DRAIN}


def test_what_comes_after_idleness_is_a_correction_not_a_loss() -> None:
    """
    10:00 ── idle: F follows the wall clock to 11:50 ── 10:30 late ── 11:55 in time
    """
    state = partition(fetch(0, 1, (0, "10:00")))
    fall_idle(state, at("12:00"), end_offset=1)
    assert (state.clock.frontier, state.clock.max_event_time) == (at("11:50"), at("10:00"))
    state.admit(fetch(1, 3, (1, "10:30"), (2, "11:55")))
    assert (late(state), held(state)) == ([1], {"10": 1, "11": 1})


def test_a_flood_of_bad_records_does_not_keep_windows_open() -> None:
    """
    10:00 . . . . ? . . E . . . .      late and malformed ones go on coming; the 10 h window closes all the same
    """
    state = partition(fetch(0, 1, (0, "10:00")))
    assert not state.clock.wants_probe(at("11:00"))
    for offset in range(1, 20):
        state.admit(fetch(offset, offset + 1, refused=[offset]))
    assert state.clock.wants_probe(at("11:01"))
    state.clock.probed(22, state.clock.max_event_time)
    state.settle_idleness(at("11:10"))
    assert not state.windows.any_closed
    state.admit(fetch(20, 22, (20, "08:00"), refused=[21]))
    assert late(state) == [20]
    state.settle_idleness(at("11:10"))
    assert state.windows.any_closed


def test_a_drain_closes_what_is_open_and_remembers_its_request() -> None:
    """F goes to the drain's instant; a drain that finds nothing open anywhere is fulfilled all the same."""
    state = partition(fetch(0, 1, (0, "10:00")))
    state.drain_to(at("11:00"), "d1")
    assert (state.windows.any_closed, state.last_drain) == (True, "d1")
    state.drain_to(None, "d2")
    assert (state.clock.frontier, state.last_drain) == (at("11:00"), "d2")
