"""What a checkpoint takes, when it leaves the state, and when one is due. Hourly windows, ten minutes of lateness."""

import pytest

from schemas.records import Counts
from streams.partition import Partition
from streams.snapshot import Arrivals
from tests.partition_fetches import RULES, at, commit, fall_idle, fetch, held, is_due, partition

# -- checkpoints -------------------------------------------------------------------------------------------------------


def test_a_snapshot_commits_from_the_first_offset_that_an_open_window_needs() -> None:
    """
    offset   0       1       2       3      4 |N
    window   10 h    11 h    late    11 h
    C                ^                            without open windows C is N
    """
    state = partition(fetch(0, 4, (0, "10:00"), (1, "11:30"), (2, "10:00"), (3, "11:31")))
    snapshot = state.snapshot()
    assert (snapshot.position, snapshot.committed, snapshot.seq) == (4, 1, 1)
    assert [buffer.key for buffer in snapshot.closing] == [("A", at("10:00"))]
    assert [(window.start, window.count) for window in snapshot.open_windows] == [(at("11:00"), 2)]
    assert snapshot.counts == Counts(delivered=4, batched=1, corrected=1)
    state.settle()
    state.drain_to(at("12:00"), "d1")
    assert state.snapshot().committed == 4


def test_rows_leave_the_state_only_once_their_checkpoint_is_settled() -> None:
    """Until then a refused commit can be tried again, and what comes meanwhile is for the next one."""
    state = partition(fetch(0, 3, (0, "10:00"), (1, "11:30"), refused=[2]))
    snapshot = state.snapshot()
    assert held(state) == {"10": 1, "11": 1}
    state.admit(fetch(3, 6, (3, "12:30"), (4, "10:00"), refused=[5]))
    assert (snapshot.position, snapshot.counts) == (3, Counts(delivered=3, batched=1, dead=1))
    assert [letter.offset for letter in snapshot.pending.dead_letters] == [2]
    state.settle()
    assert held(state) == {"11": 1, "12": 1}
    assert state.counts == Counts(delivered=6, batched=1, corrected=1, dead=2)
    following = state.snapshot()
    assert following.seq == 2
    assert [buffer.key for buffer in following.closing] == [("A", at("11:00"))]
    assert [letter.offset for letter in following.pending.dead_letters] == [5]
    assert [rows.offsets.tolist() for rows in following.pending.corrections] == [[4]]


def test_one_checkpoint_at_a_time() -> None:
    """A second snapshot before the first is settled, or a settlement of none, is a mistake of the caller."""
    state = partition(fetch(0, 1, (0, "10:00")))
    with pytest.raises(RuntimeError, match="no checkpoint is under way"):
        state.settle()
    state.snapshot()
    with pytest.raises(RuntimeError, match="under way"):
        state.snapshot()


# -- due ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def committed() -> Partition:
    """N 2, M 10:30, F 10:20, the 10 h window open, idle: all of it committed."""
    state = partition(fetch(0, 2, (0, "10:30")))
    fall_idle(state, at("10:30"), end_offset=2)
    commit(state)
    return state


def test_a_partition_says_at_once_that_it_is_there() -> None:
    """The first checkpoint is due before anything was read: completeness waits for every partition."""
    assert is_due(Partition.fresh(RULES, 5))


def test_nothing_new_is_not_due(committed: Partition) -> None:
    """Neither right after a commit, nor when F moves on inside a window."""
    assert not is_due(committed)
    committed.settle_idleness(at("10:45"))
    assert committed.clock.frontier == at("10:35")
    assert not is_due(committed)


def test_a_frontier_that_crosses_a_window_end_is_due() -> None:
    """Also where the partition never had an event: completeness of a site asks every partition."""
    state = partition(fetch(0, 2, refused=[0, 1]))
    fall_idle(state, at("10:30"), end_offset=2)
    commit(state)
    state.settle_idleness(at("11:09"))
    assert (state.clock.frontier, is_due(state)) == (at("10:59"), False)
    state.settle_idleness(at("11:10"))
    assert (state.clock.frontier, is_due(state)) == (at("11:00"), True)


def test_a_moved_position_is_due(committed: Partition) -> None:
    """Even by markers alone: C follows, and retention does not overtake it."""
    committed.admit(fetch(2, 3))
    assert is_due(committed)


@pytest.mark.parametrize("arrivals", [fetch(2, 3, refused=[2]), fetch(2, 3, (2, "08:00"))])
def test_pending_letters_and_corrections_are_due(committed: Partition, arrivals: Arrivals) -> None:
    """They are published by the next checkpoint, so they ask for one."""
    committed.admit(arrivals)
    assert committed.pending
    assert is_due(committed)


def test_closed_windows_are_due(committed: Partition) -> None:
    """A window that has closed waits for its batch."""
    committed.drain_to(at("11:00"), "d1")
    assert is_due(committed)


def test_a_fulfilled_drain_is_due(committed: Partition) -> None:
    """Whoever asked for it waits for the frontier record to say so, also when there was nothing to close."""
    committed.drain_to(None, "d1")
    assert is_due(committed)


def test_a_changed_idle_flag_is_due() -> None:
    """Completeness of other partitions' windows rests on it, also under `hold`, where F stays."""
    state = partition(fetch(0, 2, (0, "10:30")), policy="hold")
    commit(state)
    assert not is_due(state)
    fall_idle(state, at("10:40"), end_offset=2)
    assert is_due(state)


def test_a_gap_is_due(committed: Partition) -> None:
    """A loss is said as soon as it is known."""
    committed.skip_gap(9)
    assert is_due(committed)


def test_nothing_is_due_while_a_checkpoint_is_under_way(committed: Partition) -> None:
    """One at a time; what came meanwhile is due when it is settled."""
    committed.drain_to(None, "d1")
    committed.snapshot()
    committed.admit(fetch(2, 3, refused=[2]))
    assert not is_due(committed)
    committed.settle()
    assert is_due(committed)
