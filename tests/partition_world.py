"""A simulated shell around one `Partition`: its log, the lane that fetches, what was committed, and what was published.

It does what the worker does, in the same order, without Kafka: only what a committed snapshot holds is published, a
crash forgets everything else, and recovery starts from the frontier record as it went over the wire.
"""

from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from schemas.codecs import decode, encode
from schemas.records import Frontier
from schemas.windows import SiteWindows, WindowSpec
from streams.event_clock import ClockRules
from streams.open_windows import WindowBuffer, WindowKey
from streams.partition import LostRecords, Partition
from streams.snapshot import Arrivals, Snapshot
from streams.windowing import assign_windows
from tests.partition_fetches import BEGIN, HOUR, MINUTE, ZONES, LogRecord, dead_letter, decoded_table, frontier_record

SITES = ("LDN", "NYC", "LHI", "elsewhere")


@dataclass(frozen=True)
class Cut:
    """How time is cut, and the step in which drawn event times move: several to a window, hitting its bounds."""

    spec: str
    step_ms: int
    max_out_of_orderness_ms: int

    def windows(self) -> SiteWindows:
        """The grids of all sites."""
        return SiteWindows(WindowSpec.parse(self.spec), ZONES)


CUTS = (
    Cut("PT1H", 20 * MINUTE, 40 * MINUTE),
    Cut("PT1H", 10 * MINUTE, 0),
    Cut("local-day", 3 * HOUR, 6 * HOUR),
    Cut("shifts:06:00,14:00,22:00", 2 * HOUR, 3 * HOUR),
)


@dataclass(frozen=True)
class Drawn:
    """What a producer appends: `markers` offsets without a record, then a record `behind` steps behind the newest."""

    markers: int = 0
    ahead: int = 0
    behind: int = 0
    just_before: bool = False
    site_id: str = "LDN"
    rejected: bool = False


@dataclass
class Log:
    """One source partition on the broker: offsets `[start, end)`, some of them markers."""

    cut: Cut
    start: int = 0
    end: int = 0
    records: list[LogRecord] = field(default_factory=list)
    _windows: SiteWindows = field(init=False)
    _newest: int = BEGIN

    def __post_init__(self) -> None:
        self._windows = self.cut.windows()

    def append(self, drawn: list[Drawn], markers_after: int = 0) -> None:
        """Append records, each after its markers, and markers at the end, as a transaction leaves one."""
        for entry in drawn:
            self._newest += entry.ahead * self.cut.step_ms
            event_time = self._newest - entry.behind * self.cut.step_ms - entry.just_before
            window = None if entry.rejected else self._windows.window_of(entry.site_id, event_time)
            self.records.append(LogRecord(self.end + entry.markers, entry.site_id, event_time, window))
            self.end = self.records[-1].offset + 1
        self.end += markers_after

    def arrivals(self, base: int, end: int) -> Arrivals:
        """What a fetch of `[base, end)` brings, decoded and windowed by the real code."""
        found = [record for record in self.records if base <= record.offset < end]
        letters = [dead_letter(record.offset) for record in found if record.window is None]
        accepted = [record for record in found if record.window is not None]
        rows = assign_windows(decoded_table(accepted), self._windows)
        return Arrivals(base, end, rows, letters, 100 * len(letters))


@dataclass
class Published:
    """What committed checkpoints have published, as offsets."""

    on_time: dict[WindowKey, list[int]] = field(default_factory=dict)
    corrected: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)

    def offsets(self) -> list[int]:
        """Every published offset, as often as it was published."""
        return [*(offset for batch in self.on_time.values() for offset in batch), *self.corrected, *self.dead]


class World:
    """A log, and one worker at a time on it."""

    def __init__(self, cut: Cut, policy: Literal["advance", "hold"] = "hold", log_start: int = 0) -> None:
        longest = WindowSpec.parse(cut.spec).longest_ms
        self.rules = ClockRules(cut.max_out_of_orderness_ms, MINUTE, policy, longest)
        self.log = Log(cut, start=log_start, end=log_start)
        self.published = Published()
        self.committed: Frontier | None = None
        self.state = Partition.fresh(self.rules, log_start)
        self.lane_at = log_start  # where the lane's next fetch begins
        self.wall = BEGIN
        self.advances: list[tuple[int, int]] = []  # F was moved by time or a drain: (position then, F after)
        self.probe: tuple[int, int | None] | None = None  # an end offset on its way, and the M it was asked with
        self._advances_taken: list[tuple[int, int]] = []
        self._advances_committed: list[tuple[int, int]] = []
        self._spilled: dict[WindowKey, list[pa.Table]] = {}

    # -- fetches -------------------------------------------------------------------------------------------------------

    def fetch(self, length: int) -> Arrivals:
        """The lane's next fetch, of at most `length` offsets; it may bring nothing but markers, or nothing at all."""
        if self.lane_at < self.log.start:
            self._out_of_range()
        base, end = self.lane_at, max(self.lane_at, min(self.lane_at + length, self.log.end))
        self.lane_at = end
        return self.log.arrivals(base, end)

    def deliver(self, arrivals: Arrivals) -> None:
        """Hand a fetch to the partition; seek back if it says that one before it was lost."""
        try:
            self.state.admit(arrivals)
        except LostRecords as lost:
            self.lane_at = lost.position

    def _out_of_range(self) -> None:
        if self.state.position < self.log.start:
            self.state.skip_gap(self.log.start)
        self.lane_at = self.state.position

    def spill(self, at_least: int) -> None:
        """Move rows of windows that have enough of them to a temporary file."""
        for buffer in self.state.windows.to_spill(at_least):
            self._spilled.setdefault(buffer.key, []).append(buffer.take_rows())

    # -- time ----------------------------------------------------------------------------------------------------------

    def pass_time(self, wait_ms: int) -> None:
        """A tick of the worker, `wait_ms` after the one before: ask for the end offset if wanted, decide idleness."""
        self.wall += wait_ms
        clock = self.state.clock
        if clock.wants_probe(self.wall) and self.probe is None and not self.state.replaying:
            self.probe = (self.log.end, clock.max_event_time)
        before = clock.frontier
        self.state.settle_idleness(self.wall)
        self._note_advance(before)

    def answer_probe(self) -> None:
        """The end offset that was asked for comes."""
        if self.probe is not None:
            self.state.clock.probed(*self.probe)
            self.probe = None

    def drain(self, instant: int | None, request_id: str) -> None:
        """Close everything up to `instant`."""
        before = self.state.clock.frontier
        self.state.drain_to(instant, request_id)
        self._note_advance(before)

    def _note_advance(self, before: int | None) -> None:
        after = self.state.clock.frontier
        if after is not None and after != before:
            self.advances.append((self.state.position, after))

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    @property
    def may_checkpoint(self) -> bool:
        """Whether a snapshot can be taken."""
        return not self.state.replaying and self.state.in_flight is None

    def begin_checkpoint(self) -> None:
        """Take the snapshot; records may come before it is committed."""
        self.state.snapshot()
        self._advances_taken = list(self.advances)

    def commit(self) -> None:
        """The transaction commits, and the worker hears of it."""
        self.commit_unheard()
        for buffer in self._in_flight.closing:
            self._spilled.pop(buffer.key, None)
        self.state.settle()

    def commit_unheard(self) -> None:
        """The transaction commits, but the worker does not know."""
        snapshot = self._in_flight
        for buffer in snapshot.closing:
            assert buffer.key not in self.published.on_time, f"a second batch of {buffer.key}"
            self.published.on_time[buffer.key] = self._batch_offsets(buffer)
        for rows in snapshot.pending.corrections:
            self.published.corrected += rows.table.column("source_offset").to_pylist()
        self.published.dead += [letter.offset for letter in snapshot.pending.dead_letters]
        self.committed = decode(encode(frontier_record(snapshot)), Frontier)
        self._advances_committed = self._advances_taken

    @property
    def _in_flight(self) -> Snapshot:
        assert self.state.in_flight is not None
        return self.state.in_flight

    def _batch_offsets(self, buffer: WindowBuffer) -> list[int]:
        """Offsets of a window's batch file: blocks written before, then the rows in memory. All of one window."""
        table = pa.concat_tables([*self._spilled.get(buffer.key, []), *buffer.buffered])
        assert set(table.column("site_id").to_pylist()) == {buffer.site_id}
        assert set(table.column("window_start").to_pylist()) == {buffer.window.start}
        return table.column("source_offset").to_pylist()

    # -- the end of a worker -------------------------------------------------------------------------------------------

    def crash(self) -> None:
        """The worker is gone; another takes the partition over from what was committed."""
        self._spilled.clear()
        self.probe = None
        self.advances = list(self._advances_committed)
        if self.committed is None:
            self.state = Partition.fresh(self.rules, self.log.start)
        else:
            self.state = Partition.recovered(self.rules, self.committed)
            if self.log.start > self.state.position:
                self.state.skip_gap(self.log.start)
        self.lane_at = self.state.position

    def finish(self) -> None:
        """Read what is left, then drain: nothing stays open."""
        while self.state.position < self.log.end:
            self.deliver(self.fetch(self.log.end))
        if self.state.in_flight is not None:
            self.commit()
        self.drain(max((buffer.window.end for buffer in self.state.windows), default=None), "last")
        self.begin_checkpoint()
        self.commit()
