"""One source partition: everything it knows, as a pure function of its records in offset order.

Rules, with N the position, F the frontier, M the latest event time, C the committed offset:

1. A record below N has been taken and is skipped. A fetch that continues from beyond N is refused: something was lost.
2. An accepted record whose window ends at or before F is *late* and becomes a correction; else it joins its window.
3. F = max(F, M - max_out_of_orderness) after each record; a refused record moves nothing but N.
4. A snapshot is what a checkpoint commits. Rows leave the state only when it is settled, after the commit.
5. After a crash the records in [C, N) are *replayed* up to the committed N: a record is re-admitted if its window ends
   after the committed F and it was accepted, else skipped. It moves neither F nor M, and counts nothing: the committed
   figures count it. At N the open windows must be what the commit says.
6. Offsets that retention removed are a *gap*: what was lost of open windows is taken off the counts, and said.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from msgspec import structs

from schemas.records import ClosedBy, Counts, Frontier, Gap, OpenWindow
from streams.event_clock import ClockRules, EventClock
from streams.open_windows import OpenWindows, WindowKey, named
from streams.snapshot import Arrivals, Pending, Snapshot, committed_snapshot
from streams.windowing import WindowedRows


class LostRecords(Exception):
    """A fetch continues from beyond the position: the caller must seek back to it."""

    def __init__(self, position: int, got: int) -> None:
        super().__init__(f"expected a fetch from {position}, got one from {got}")
        self.position = position


class ReplayMismatch(Exception):
    """After a replay the open windows are not those of the checkpoint."""


@dataclass(slots=True)
class Partition:
    """State of one source partition. Start one with `Partition.fresh` or `Partition.recovered`."""

    clock: EventClock
    position: int
    committed_seq: int = 0
    counts: Counts = field(default_factory=Counts)
    gaps: tuple[Gap, ...] = ()
    last_drain: str | None = None
    windows: OpenWindows = field(default_factory=OpenWindows)
    pending: Pending = field(default_factory=Pending)
    in_flight: Snapshot | None = None
    last: Snapshot | None = None
    _replay_until: int = 0
    _expected: dict[WindowKey, OpenWindow] = field(default_factory=dict[WindowKey, OpenWindow])
    _touched: set[WindowKey] = field(default_factory=set[WindowKey])

    @classmethod
    def fresh(cls, rules: ClockRules, start: int) -> "Partition":
        """A partition that was never read, from the log's start."""
        return cls(EventClock(rules), start)

    @classmethod
    def recovered(cls, rules: ClockRules, record: Frontier) -> "Partition":
        """A partition as its last checkpoint left it, about to replay its open windows."""
        expected = {(w.site_id, w.start): w for w in record.open_windows}
        state = cls(
            EventClock(rules, record.frontier, record.max_event_time),
            position=record.committed,
            committed_seq=record.checkpoint_seq,
            counts=record.counts,
            gaps=record.gaps,
            last_drain=record.last_drain,
            _replay_until=record.position,
            _expected=expected,
        )
        state.last = committed_snapshot(record)
        state._finish_replay_if_due()
        return state

    @property
    def replaying(self) -> bool:
        """Whether records below the committed position are being read again; nothing is committed meanwhile."""
        return self.position < self._replay_until

    # -- records ---------------------------------------------------------------------------------------------------

    def admit(self, arrivals: Arrivals) -> None:
        """Take a fetch.

        Raises:
            LostRecords: it continues from beyond the position; the state is unchanged.
            ReplayMismatch: the replay has ended and did not give what the checkpoint says.
        """
        if arrivals.base > self.position:
            raise LostRecords(self.position, arrivals.base)
        if arrivals.end <= self.position:
            return
        fresh_from = self.position
        rows = arrivals.rows.select(arrivals.rows.offsets >= fresh_from)
        if self.replaying:
            self._replay(rows.select(rows.offsets < self._replay_until))
            fresh_from = self._replay_until
            rows = rows.select(rows.offsets >= fresh_from)
        self.position = max(self.position, min(arrivals.end, fresh_from))
        self._finish_replay_if_due()
        if arrivals.end > fresh_from:
            self._take_dead_letters(arrivals, fresh_from)
            self._take_rows(rows)
            self.position = arrivals.end

    def _replay(self, rows: WindowedRows) -> None:
        frontier = self.clock.frontier
        self.windows.add(rows, None if frontier is None else rows.ends > frontier)

    def _finish_replay_if_due(self) -> None:
        if self.replaying or not self._replay_until:
            return
        found = {buffer.key: buffer.summary() for buffer in self.windows}
        checked = {key: window for key, window in self._expected.items() if key not in self._touched}
        wrong = [window for key, window in checked.items() if found.get(key) != window]
        odd = [window for key, window in found.items() if key not in self._touched and checked.get(key) != window]
        lost = sum(self._expected[key].count - (found[key].count if key in found else 0) for key in self._touched)
        self._replay_until, self._expected, self._touched = 0, {}, set()
        if wrong or odd:
            raise ReplayMismatch(
                f"the checkpoint names open windows that the replay did not give: {named(wrong)}; "
                f"and it gave: {named(odd)}"
            )
        self.counts = structs.replace(self.counts, delivered=self.counts.delivered - lost, gap=self.counts.gap + lost)

    def _take_dead_letters(self, arrivals: Arrivals, fresh_from: int) -> None:
        letters = [letter for letter in arrivals.dead_letters if letter.offset >= fresh_from]
        if not letters:
            return
        self.pending.dead_letters += letters
        self.pending.bytes += arrivals.dead_bytes
        self._count(delivered=len(letters), dead=len(letters))

    def _take_rows(self, rows: WindowedRows) -> None:
        if not len(rows):
            return
        late = rows.ends <= self._frontier_before_each(rows)
        if late.any():
            corrections = rows.select(late)
            self.pending.corrections.append(corrections)
            self.pending.bytes += corrections.table.nbytes
            self._count(corrected=len(corrections))
        self.windows.add(rows, ~late)
        self._count(delivered=len(rows))
        if self.clock.observe(int(rows.event_times.max())):
            self._close(ClosedBy.WATERMARK)

    def _frontier_before_each(self, rows: WindowedRows) -> npt.NDArray[np.int64]:
        """F as each row found it: a row never makes itself late, for its window ends after its event time."""
        lowest = np.iinfo(np.int64).min
        seen = np.maximum.accumulate(rows.event_times)
        before = np.concatenate(([lowest], seen[:-1] - self.clock.rules.max_out_of_orderness_ms))
        return before if self.clock.frontier is None else np.maximum(before, self.clock.frontier)

    def _count(self, **more: int) -> None:
        now = self.counts
        self.counts = structs.replace(now, **{name: getattr(now, name) + count for name, count in more.items()})

    # -- time ------------------------------------------------------------------------------------------------------

    def settle_idleness(self, now: int) -> None:
        """Decide idleness at wall clock `now`; see `EventClock`."""
        if not self.replaying and self.clock.settle_idleness(self.position, now):
            self._close(ClosedBy.IDLE)

    def drain_to(self, instant: int | None, request_id: str) -> None:
        """Close everything up to `instant` for a drain request; the next checkpoint says it is fulfilled."""
        if self.replaying:
            raise RuntimeError("a partition that is replaying cannot be drained: below N nothing advances")
        if instant is not None and self.clock.advance_to(instant):
            self._close(ClosedBy.DRAIN)
        self.last_drain = request_id

    def _close(self, cause: ClosedBy) -> None:
        if self.clock.frontier is not None:
            self.windows.close(self.clock.frontier, cause)

    # -- retention -------------------------------------------------------------------------------------------------

    def skip_gap(self, log_start: int) -> Gap:
        """Retention has removed `[position, log_start)`: go on from `log_start`, and say what is lost.

        Open windows that the gap touches are not checked at the end of the replay; what it did not bring back of
        them leaves the counts of delivered records and joins the gap's, as do offsets that were never read.
        """
        if log_start <= self.position:
            raise ValueError(f"the log starts at {log_start}: nothing is missing before position {self.position}")
        gap = Gap(self.position, log_start)
        self._touched |= {key for key, window in self._expected.items() if window.first_offset < log_start}
        never_read = max(0, log_start - max(self.position, self._replay_until))
        self.counts = structs.replace(self.counts, gap=self.counts.gap + never_read)
        self.gaps = (*self.gaps, gap)
        self.position = log_start
        self._finish_replay_if_due()
        return gap

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def due(self, floors: Callable[[int], tuple[int, ...]]) -> bool:
        """Whether there is anything that a checkpoint should say. `floors` tells the windows an instant lies in."""
        if self.replaying or self.in_flight is not None:
            return False
        if self.last is None or self.pending or self.windows.any_closed:
            return True
        now = (self.position, self.clock.idle, self.last_drain, self.gaps)
        if now != (self.last.position, self.last.idle, self.last.last_drain, self.last.gaps):
            return True
        before, after = self.last.frontier, self.clock.frontier
        return after is not None and (before is None or floors(before) != floors(after))

    def snapshot(self) -> Snapshot:
        """Take what the next checkpoint commits; nothing changes hands until `settle`. One at a time."""
        if self.in_flight is not None or self.replaying:
            raise RuntimeError("a checkpoint is under way, or the partition is replaying")
        closing, still_open = self.windows.closed(), self.windows.open()
        self.in_flight = Snapshot(
            seq=self.committed_seq + 1,
            position=self.position,
            committed=min((buffer.first_offset for buffer in still_open), default=self.position),
            frontier=self.clock.frontier,
            max_event_time=self.clock.max_event_time,
            closing=closing,
            pending=self.pending,
            open_windows=tuple(buffer.summary() for buffer in still_open),
            counts=structs.replace(self.counts, batched=self.counts.batched + sum(b.count for b in closing)),
            gaps=self.gaps,
            idle=self.clock.idle,
            last_drain=self.last_drain,
        )
        self.pending = Pending()
        return self.in_flight

    def settle(self) -> None:
        """The snapshot under way is committed: its rows leave the state."""
        done = self.in_flight
        if done is None:
            raise RuntimeError("no checkpoint is under way")
        self.windows.settle([buffer.key for buffer in done.closing])
        batched = sum(buffer.count for buffer in done.closing)
        self.counts = structs.replace(self.counts, batched=self.counts.batched + batched)
        self.committed_seq, self.in_flight = done.seq, None
        self.last = dataclasses.replace(done, closing=[], pending=Pending())
