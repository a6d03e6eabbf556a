"""The rules of a source partition, one claim each. Windows are hourly, lateness is allowed for ten minutes.

Timelines name records by offset and event time; `F` is the frontier as the record found it.
"""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from msgspec import structs

from schemas.records import ClosedBy, Counts, Frontier, Gap, OpenWindow
from schemas.windows import SiteWindows, WindowSpec
from streams.event_clock import DAY_MS, ClockRules
from streams.partition import Arrivals, LostRecords, Partition, ReplayMismatch
from streams.windowing import assign_windows
from tests.partition_world import BEGIN, HOUR, MINUTE, ZONES, LogRecord, dead_letter, decoded_table, frontier_record

HOURLY = SiteWindows(WindowSpec.parse("PT1H"), ZONES)
RULES = ClockRules(10 * MINUTE, idle_timeout_ms=MINUTE, idle_policy="advance", longest_window_ms=HOUR)


def at(wall: str) -> int:
    """Event time of `HH:MM`, on the day of these tests, in UTC milliseconds."""
    hours, minutes = wall.split(":")
    return BEGIN + int(hours) * HOUR + int(minutes) * MINUTE


def fetch(base: int, end: int, *records: tuple[int, str], site: str = "A", refused: Iterable[int] = ()) -> Arrivals:
    """A fetch of `[base, end)` with accepted records (offset, `HH:MM`) of one site, and refused offsets."""
    log = [LogRecord(offset, site, at(wall), None) for offset, wall in records]
    letters = [dead_letter(offset) for offset in refused]
    return Arrivals(base, end, assign_windows(decoded_table(log), HOURLY), letters, 100 * len(letters))


def partition(*fetches: Arrivals, policy: str = "advance") -> Partition:
    """A partition, new at offset 0, that has taken these fetches."""
    state = Partition.fresh(replace(RULES, idle_policy=policy), 0)
    for arrivals in fetches:
        state.admit(arrivals)
    return state


def commit(state: Partition) -> Frontier:
    """A checkpoint that goes well; returns its frontier record."""
    record = frontier_record(state.snapshot())
    state.settle()
    return record


def fall_idle(state: Partition, now: int, end_offset: int) -> None:
    """Let the quiet time end at `now`, with `end_offset` as the log's end."""
    state.clock.wants_probe(now - MINUTE)
    assert state.clock.wants_probe(now)
    state.clock.probed(end_offset, state.clock.max_event_time)
    state.settle_idleness(now)


def is_due(state: Partition) -> bool:
    """Whether a checkpoint is due, under hourly windows."""
    return state.due(HOURLY.floors)


def held(state: Partition) -> dict[str, int]:
    """Count of each window that is not settled, by the `HH` of its start."""
    return {f"{(b.window.start - BEGIN) // HOUR:02}": b.count for b in state.windows}


def late(state: Partition) -> list[int]:
    """Offsets of the corrections that wait."""
    return [offset for rows in state.pending.corrections for offset in rows.offsets.tolist()]


# -- lateness ------------------------------------------------------------------------------------------------------------


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


# -- fetches -------------------------------------------------------------------------------------------------------------


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


# -- what closes a window ------------------------------------------------------------------------------------------------


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
    state.clock.probed(20, state.clock.max_event_time)
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


# -- checkpoints ---------------------------------------------------------------------------------------------------------


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


# -- due -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def committed() -> Partition:
    """M 10:30, F 10:20, one open window, N 2, idle as found at 10:40, all committed."""
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


def test_a_frontier_that_crosses_a_window_end_is_due(committed: Partition) -> None:
    """Also where the partition has no such window: completeness of a site asks every partition."""
    committed.windows.settle([("A", at("10:00"))])
    committed.settle_idleness(at("11:09"))
    assert not is_due(committed)
    committed.settle_idleness(at("11:10"))
    assert is_due(committed)


def test_the_first_frontier_is_due() -> None:
    """From minus infinity to anywhere crosses windows."""
    state = partition(policy="advance")
    fall_idle(state, at("10:00"), end_offset=1)
    commit(state)
    state.admit(fetch(0, 1))
    commit(state)
    assert (state.clock.frontier, is_due(state)) == (None, False)
    state.settle_idleness(at("10:00"))
    last = state.last
    assert last is not None
    state.last = replace(last, idle=True)
    assert is_due(state)


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


# -- replay --------------------------------------------------------------------------------------------------------------

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
                                     late   11 h     C = 2: a replay meets 3 again, and skips it
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


# -- retention -----------------------------------------------------------------------------------------------------------


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


def test_what_a_frontier_record_says_of_open_windows() -> None:
    """Site, bounds, the first offset that it needs, and how many records: enough to judge a replay."""
    (window,) = checkpointed().open_windows
    assert isinstance(window, OpenWindow)
    assert (window.site_id, window.start, window.end) == ("A", at("11:00"), at("12:00"))
    assert (window.first_offset, window.count) == (1, 2)
    assert at("11:00") - BEGIN < DAY_MS
