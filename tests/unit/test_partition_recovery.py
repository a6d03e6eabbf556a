"""A partition comes back as its last checkpoint left it, or says why not. Hourly windows, ten minutes of lateness."""

import pytest
from msgspec import structs

from schemas.records import Counts, Frontier, Gap
from streams.partition import Partition, ReplayMismatch
from streams.snapshot import Arrivals
from tests.partition_fetches import RULES, at, commit, fall_idle, fetch, frontier_record, held, is_due, late, partition

# -- replay ------------------------------------------------------------------------------------------------------------

OPEN = fetch(0, 4, (0, "10:00"), (1, "11:30"), (3, "11:31"), refused=[2])


def checkpointed() -> Frontier:
    """
    offset   0      1      2        3       4 |N
    window   10 h   11 h   refused  11 h
    C               ^                            10 h is batched, 11 h open with {1, 3}, F 11:21
    """
    return commit(partition(OPEN))


def test_a_replay_brings_back_the_open_windows_and_counts_nothing() -> None:
    """Records below N are neither delivered nor refused again, and move neither F nor M."""
    record = checkpointed()
    state = Partition.recovered(RULES, record)
    assert (state.position, state.replaying) == (1, True)
    state.admit(fetch(1, 3, (1, "11:30"), refused=[2]))
    assert (state.position, state.replaying) == (3, True)
    state.admit(fetch(3, 6, (3, "11:31"), (4, "11:32"), refused=[5]))
    assert not state.replaying
    assert held(state) == {"11": 3}
    assert [letter.offset for letter in state.pending.dead_letters] == [5]
    assert state.counts == Counts(delivered=6, batched=1, dead=2)


def test_a_replay_skips_what_was_batched_or_corrected() -> None:
    """
    offset   0       1       2               3 |N
    event    10:59   10:00   11:15
    window   10 h    10 h    11 h            then 10 h closes; 0 and 1 lie below C = 2
    offset                           3      4 |N
    event                            10:30  11:16
                                     late   11 h     C = 2: a replay meets 3 again and skips it
    """
    state = partition(fetch(0, 3, (0, "10:59"), (1, "10:00"), (2, "11:15")))
    commit(state)
    state.admit(fetch(3, 5, (3, "10:30"), (4, "11:16")))
    again = Partition.recovered(RULES, commit(state))
    again.admit(fetch(2, 5, (2, "11:15"), (3, "10:30"), (4, "11:16")))
    assert (held(again), late(again)) == ({"11": 2}, [])
    assert again.counts == Counts(delivered=5, batched=2, corrected=1)


def test_nothing_else_happens_during_a_replay() -> None:
    """No checkpoint is due or possible, and idleness is not decided, until N is reached."""
    state = Partition.recovered(RULES, checkpointed())
    fall_idle(state, at("23:00"), end_offset=0)
    assert (state.clock.idle, state.clock.frontier) == (False, at("11:21"))
    assert not is_due(state)
    with pytest.raises(RuntimeError, match="replaying"):
        state.snapshot()
    state.admit(fetch(1, 4, (1, "11:30"), (3, "11:31"), refused=[2]))
    state.settle_idleness(at("23:00"))
    assert (state.clock.idle, is_due(state)) == (True, True)


def test_a_recovered_partition_has_nothing_new_to_say() -> None:
    """Once the replay has ended all is as committed: position, gaps, counts, the drain that was fulfilled."""
    first = partition(OPEN)
    first.drain_to(None, "d1")
    record = commit(first)
    state = Partition.recovered(RULES, record)
    state.admit(fetch(1, 4, (1, "11:30"), (3, "11:31"), refused=[2]))
    assert not is_due(state)
    assert frontier_record(state.snapshot()) == structs.replace(record, checkpoint_seq=2)


@pytest.mark.parametrize(
    ("replayed", "told"),
    [
        (fetch(1, 4, (1, "11:30"), refused=[2, 3]), "2 records, hash [0-9a-f]{16}; and it gave: .* 1 records"),
        (fetch(1, 4, (1, "11:30"), (2, "11:30"), (3, "11:31")), "2 records, .*; and it gave: .* 3 records"),
        (fetch(1, 4, (1, "11:30"), (2, "11:31")), "2 records, .*; and it gave: .* 2 records"),
        (fetch(1, 4), "2 records, .*; and it gave: none"),
        (fetch(1, 4, (1, "11:30"), (2, "12:00"), (3, "11:31")), "give: none; and it gave: .* 1 records"),
    ],
    ids=["a verdict has changed", "one more", "other offsets", "nothing", "another window"],
)
def test_a_replay_that_gives_something_else_stops_the_partition(replayed: Arrivals, told: str) -> None:
    """Count and offsets of each open window must be those of the checkpoint; the message names the windows."""
    state = Partition.recovered(RULES, checkpointed())
    with pytest.raises(ReplayMismatch, match=told):
        state.admit(replayed)


def test_windows_without_records_to_replay_are_refused_at_once() -> None:
    """A record whose C is its N cannot have open windows: somebody changed it."""
    with pytest.raises(ReplayMismatch, match=r"A\["):
        Partition.recovered(RULES, structs.replace(checkpointed(), committed=4))


# -- retention ---------------------------------------------------------------------------------------------------------


def test_offsets_that_were_never_read_join_the_gap() -> None:
    """
    taken     0 1 |N
    log                 4 5      2 and 3 are gone; the window in memory has lost nothing
    """
    state = partition(fetch(0, 2, (0, "10:00"), (1, "10:01")))
    commit(state)
    assert state.skip_gap(4) == Gap(2, 4)
    assert (state.position, held(state), state.gaps) == (4, {"10": 2}, (Gap(2, 4),))
    assert state.counts == Counts(delivered=2, gap=2)
    snapshot = state.snapshot()
    assert (snapshot.gaps, snapshot.committed) == ((Gap(2, 4),), 0)


def test_records_lost_from_an_open_window_leave_its_counts() -> None:
    """
    offset    0      1      2        3      4 |N
    window    10 h   11 h   refused  11 h
    C                ^
    log                              3 4      1 is gone: 11 h comes back with one record of two
    """
    state = Partition.recovered(RULES, checkpointed())
    assert state.skip_gap(3) == Gap(1, 3)
    assert (state.position, state.replaying) == (3, True)
    state.admit(fetch(3, 4, (3, "11:31")))
    assert held(state) == {"11": 1}
    assert state.counts == Counts(delivered=3, batched=1, dead=1, gap=1)


def test_a_window_that_the_gap_does_not_touch_is_still_checked() -> None:
    """
    offset    0      1      2 |N
    window    A 10   B 10
    log              1 2       A's window lost its record and is not checked; B's must be as committed
    """
    first = partition(fetch(0, 1, (0, "10:00"), site="A"), fetch(1, 2, (1, "10:01"), site="B"))
    record = commit(first)
    state = Partition.recovered(RULES, record)
    state.skip_gap(1)
    with pytest.raises(ReplayMismatch, match=r"B\["):
        state.admit(fetch(1, 2, refused=[1]))


def test_a_gap_past_the_whole_replay_ends_it() -> None:
    """
    offset    0      1      2        3      4 |N
    log                                              7       11 h is gone with two records, 4 to 6 were never read
    """
    state = Partition.recovered(RULES, checkpointed())
    assert state.skip_gap(7) == Gap(1, 7)
    assert (state.position, state.replaying, held(state)) == (7, False, {})
    assert state.counts == Counts(delivered=2, batched=1, dead=1, gap=2 + 3)
    assert is_due(state)


def test_two_gaps_in_one_replay_are_both_said() -> None:
    """Retention may go on while a partition is being replayed; nothing is counted twice."""
    state = Partition.recovered(RULES, checkpointed())
    state.skip_gap(2)
    state.skip_gap(5)
    assert state.gaps == (Gap(1, 2), Gap(2, 5))
    assert state.counts == Counts(delivered=2, batched=1, dead=1, gap=2 + 1)
