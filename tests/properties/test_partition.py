"""A partition under any log, any fetches, any checkpoints and any crashes puts every offset in exactly one place.

Hypothesis draws a history of one source partition step by step; `World` plays the worker's shell. After each step the
partition is compared with `one_record_at_a_time`, which reads the same log in the plainest way and never crashes.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from schemas.offsets import hash_text, offsets_hash
from schemas.records import Counts, OpenWindow
from streams.open_windows import WindowBuffer, WindowKey
from streams.snapshot import Arrivals
from tests.partition_fetches import BEGIN, HOUR, MINUTE, LogRecord
from tests.partition_world import CUTS, SITES, Cut, Drawn, World

DAY = 24 * HOUR
drawn_records = st.lists(
    st.builds(
        Drawn,
        markers=st.sampled_from([0, 0, 0, 1, 3]),
        ahead=st.integers(0, 3),
        behind=st.sampled_from([0, 0, 1, 2, 3, 5, 9, 30]),
        just_before=st.booleans(),
        site_id=st.sampled_from(SITES),
        rejected=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=12,
)
fetch_lengths = st.integers(1, 20)
beginnings = {"cut": st.sampled_from(CUTS), "log_start": st.sampled_from([0, 7]), "drawn": drawn_records}


@dataclass
class Outcome:
    """What a log amounts to: F, M, and the records (on time by window, late, refused) in offset order."""

    frontier: int | None = None
    latest: int | None = None
    on_time: dict[WindowKey, list[LogRecord]] = field(default_factory=lambda: defaultdict(list))
    late: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def advance_to(self, instant: int) -> None:
        """F never goes back."""
        self.frontier = instant if self.frontier is None else max(self.frontier, instant)


def one_record_at_a_time(
    log: list[LogRecord], until: int, max_out_of_orderness_ms: int, advances: list[tuple[int, int]]
) -> Outcome:
    """The rules of a partition for records below `until`, with F moved to each of `advances` at its position."""
    outcome, advances = Outcome(), list(advances)
    for record in (record for record in log if record.offset < until):
        while advances and advances[0][0] <= record.offset:
            outcome.advance_to(advances.pop(0)[1])
        if record.window is None:
            outcome.refused.append(record.offset)
            continue
        if outcome.frontier is not None and record.window.end <= outcome.frontier:
            outcome.late.append(record.offset)
        else:
            outcome.on_time[record.site_id, record.window.start].append(record)
        outcome.latest = record.event_time if outcome.latest is None else max(outcome.latest, record.event_time)
        outcome.advance_to(outcome.latest - max_out_of_orderness_ms)
    for _, instant in advances:
        outcome.advance_to(instant)
    return outcome


class Crashes(RuleBasedStateMachine):
    """Records come, fetches repeat or get lost, checkpoints begin and commit, workers die. Time stands still."""

    fetches = Bundle("fetches")
    policy: Literal["advance", "hold"] = "hold"

    @initialize(**beginnings)
    def a_partition_that_was_never_read(self, cut: Cut, log_start: int, drawn: list[Drawn]) -> None:
        self.world = World(cut, self.policy, log_start)
        self.world.log.append(drawn)
        self.frontier_committed: int | None = None

    # -- the log and the lane ------------------------------------------------------------------------------------------

    @rule(drawn=drawn_records, markers_after=st.integers(0, 2))
    def producers_append(self, drawn: list[Drawn], markers_after: int) -> None:
        self.world.log.append(drawn, markers_after)

    @rule(target=fetches, length=fetch_lengths)
    def fetch(self, length: int) -> Arrivals:
        arrivals = self.world.fetch(length)
        self.world.deliver(arrivals)
        return arrivals

    @rule()
    def the_lane_reads_to_the_end(self) -> None:
        self.world.deliver(self.world.fetch(self.world.log.end))

    @rule(arrivals=fetches)
    def an_old_fetch_comes_again(self, arrivals: Arrivals) -> None:
        self.world.deliver(arrivals)

    @rule(target=fetches, length=fetch_lengths)
    def a_fetch_gets_lost(self, length: int) -> Arrivals:
        return self.world.fetch(length)

    @rule(back=st.integers(1, 30))
    def the_lane_reads_again_from_before(self, back: int) -> None:
        self.world.lane_at = max(self.world.log.start, self.world.lane_at - back)

    @rule(at_least=st.integers(1, 4))
    def rows_spill(self, at_least: int) -> None:
        self.world.spill(at_least)

    # -- checkpoints and crashes ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.may_checkpoint)
    @rule()
    def a_checkpoint_begins(self) -> None:
        self.world.begin_checkpoint()

    @precondition(lambda self: self.world.state.in_flight is not None)
    @rule(heard=st.booleans())
    def it_commits(self, heard: bool) -> None:
        """Or it commits and the worker dies before it knows."""
        if heard:
            self.world.commit()
        else:
            self.world.commit_unheard()
            self.world.crash()
        self.check_committed()

    @precondition(lambda self: self.world.may_checkpoint)
    @rule(heard=st.booleans())
    def a_checkpoint_begins_and_commits(self, heard: bool) -> None:
        self.world.begin_checkpoint()
        self.it_commits(heard)

    @rule()
    def the_partition_moves_to_another_worker(self) -> None:
        """A crash, a rebalance, a fence: also in the middle of a checkpoint or a replay."""
        self.world.crash()

    # -- claims --------------------------------------------------------------------------------------------------------

    def check_committed(self) -> None:
        """At every commit: nothing is published twice, all that was delivered is accounted for, F has not gone back."""
        committed, offsets = self.world.committed, self.world.published.offsets()
        assert committed is not None
        assert len(offsets) == len(set(offsets))
        counts, published = committed.counts, self.world.published
        assert counts.batched == sum(map(len, published.on_time.values()))
        assert (counts.corrected, counts.dead) == (len(published.corrected), len(published.dead))
        assert counts.delivered == len(offsets) + sum(window.count for window in committed.open_windows)
        if self.frontier_committed is not None:
            assert committed.frontier is not None
            assert committed.frontier >= self.frontier_committed
        self.frontier_committed = committed.frontier

    def outcome(self, until: int) -> Outcome:
        """What an uninterrupted run has made of the log up to `until`."""
        world = self.world
        return one_record_at_a_time(world.log.records, until, world.rules.max_out_of_orderness_ms, self.world.advances)

    @invariant()
    def recovered_state_is_uninterrupted_state(self) -> None:
        """Up to its position the partition knows what a run without any crash would know."""
        state, published = self.world.state, self.world.published
        if state.replaying:
            assert self.world.committed is not None
            assert state.clock.frontier == self.world.committed.frontier
            assert state.counts == self.world.committed.counts
            return
        expected = self.outcome(state.position)
        assert (state.clock.frontier, state.clock.max_event_time) == (expected.frontier, expected.latest)
        unsettled = {key: rows for key, rows in expected.on_time.items() if key not in published.on_time}
        assert {buffer.key for buffer in state.windows} == set(unsettled)
        for buffer in state.windows:
            check_buffer(buffer, unsettled[buffer.key], expected.frontier)
        assert state.counts == Counts(
            delivered=sum(map(len, (expected.late, expected.refused, *expected.on_time.values()))),
            batched=sum(map(len, published.on_time.values())),
            corrected=len(expected.late),
            dead=len(expected.refused),
        )

    @invariant()
    def what_is_not_due_says_nothing_new(self) -> None:
        """While no checkpoint is due nothing waits for one, and the last one still tells where the partition is."""
        state, committed = self.world.state, self.world.committed
        if state.replaying or state.in_flight is not None or state.due(self.world.log.cut.windows().floors):
            return
        assert committed is not None
        assert (state.position, state.last_drain) == (committed.position, committed.last_drain)
        assert not state.pending
        assert not state.windows.any_closed

    def teardown(self) -> None:
        """After a last drain every record is in one on-time batch, correction or dead letter: the uninterrupted one."""
        world = getattr(self, "world", None)
        if world is None:
            return
        world.finish()
        self.check_committed()
        expected, published = self.outcome(world.log.end), world.published
        assert published.on_time == {key: [row.offset for row in rows] for key, rows in expected.on_time.items()}
        assert published.corrected == expected.late
        assert published.dead == expected.refused
        assert sorted(published.offsets()) == [record.offset for record in world.log.records]
        assert world.committed is not None
        assert world.committed.open_windows == ()


def check_buffer(buffer: WindowBuffer, rows: list[LogRecord], frontier: int | None) -> None:
    """A window holds these records, says so, and is closed when F has passed its end."""
    offsets, times = [row.offset for row in rows], [row.event_time for row in rows]
    assert buffer.summary() == OpenWindow(
        site_id=rows[0].site_id,
        start=buffer.window.start,
        end=buffer.window.end,
        first_offset=offsets[0],
        count=len(offsets),
        offsets_hash=hash_text(offsets_hash(np.array(offsets))),
    )
    assert buffer.window == rows[0].window
    assert (buffer.last_offset, buffer.min_event_time, buffer.max_event_time) == (offsets[-1], min(times), max(times))
    assert (buffer.closed_by is not None) == (frontier is not None and buffer.window.end <= frontier)


class Time(Crashes):
    """Time passes too: partitions fall idle, end offsets come late, F follows the wall clock, drains close."""

    policy = "advance"

    @rule(wait_ms=st.sampled_from([0, MINUTE // 2, MINUTE, HOUR, 5 * HOUR, DAY, 30 * DAY]))
    def time_passes(self, wait_ms: int) -> None:
        self.world.pass_time(wait_ms)

    @rule()
    def the_wall_clock_is_where_the_events_are(self) -> None:
        self.world.wall = max(self.world.wall, self.world.state.clock.max_event_time or 0)

    @rule()
    def an_end_offset_comes(self) -> None:
        self.world.answer_probe()

    @precondition(lambda self: not self.world.state.replaying)
    @rule(steps=st.none() | st.integers(0, 60), request=st.integers(1, 3))
    def a_drain_closes(self, steps: int | None, request: int) -> None:
        instant = None if steps is None else BEGIN + steps * self.world.log.cut.step_ms
        self.world.drain(instant, f"drain-{request}")


class Retention(Time):
    """The broker removes records before they were batched: what is lost is said, and nothing else is."""

    @initialize(**beginnings)
    def a_partition_that_was_never_read(self, cut: Cut, log_start: int, drawn: list[Drawn]) -> None:
        """Its first checkpoint says at once where the log began; of what went before nobody knows."""
        super().a_partition_that_was_never_read(cut, log_start, drawn)
        self.world.begin_checkpoint()
        self.world.commit()

    @rule(past=st.sampled_from(["commit", "position"]), by=st.integers(1, 10))
    def retention_passes(self, past: str, by: int) -> None:
        world = self.world
        assert world.committed is not None
        reached = world.committed.committed if past == "commit" else world.state.position
        world.log.start = max(world.log.start, min(world.log.end, reached + by))

    @invariant()
    def recovered_state_is_uninterrupted_state(self) -> None:
        """Not so when records are gone; but what is open is what the counts leave over."""
        state, published = self.world.state, self.world.published
        if state.replaying:
            return
        unsettled = sum(buffer.count for buffer in state.windows)
        assert state.counts.delivered == state.counts.corrected + state.counts.dead + unsettled + sum(
            map(len, published.on_time.values())
        )

    def teardown(self) -> None:
        """In the end a record is published once, or lies in a reported gap, and the gap count tells how many do."""
        world = getattr(self, "world", None)
        if world is None:
            return
        world.finish()
        self.check_committed()
        assert world.committed is not None
        gaps = {offset for gap in world.committed.gaps for offset in range(gap.first_offset, gap.end_offset)}
        records = {record.offset for record in world.log.records}
        lost = records - set(world.published.offsets())
        assert lost <= gaps
        # Offsets that were never read may have been markers: nobody can tell any more.
        assert len(lost) <= world.committed.counts.gap <= len(lost) + len(gaps - records)


def test_crashes_leave_what_an_uninterrupted_run_leaves() -> None:
    """Whatever is fetched, lost, repeated, committed or crashed: batches and corrections are the log's alone."""
    run_state_machine_as_test(Crashes)


def test_idleness_and_drains_move_records_between_places_but_lose_none() -> None:
    """An advance of F that was committed decides the records after it; one that was not has never happened."""
    run_state_machine_as_test(Time)


def test_retention_loses_what_it_says_and_nothing_else() -> None:
    """A gap raises nothing, keeps the counts whole, and names the offsets that are in no batch because of it."""
    run_state_machine_as_test(Retention)
