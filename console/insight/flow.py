"""How the events flow: source partitions, open windows, accounts, and what holds workers up. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from console.audit import Totals
from console.top import Reading, backpressure, total
from schemas.records import Frontier, parse_partition_key

MOST_SPANS = 400  # open windows of a timeline, the earliest
_ACTIVE = "velocity_backpressure_active"


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A source partition at its last checkpoint. `end` is the read_committed end of its log, None where that is not
    known; what is None has not been yet. Times are UTC milliseconds."""

    partition: str
    source: str
    position: int | None
    end: int | None
    lag_records: int | None
    frontier: int | None
    event_lag_s: int | None
    max_event_time: int | None
    idle: bool
    open_windows: int
    open_records: int
    dead: int
    corrected: int
    gaps: int
    checkpoint_at: int | None
    checkpoint_age_s: int | None
    worker: str

    @property
    def state(self) -> str:
        """In a word."""
        if self.checkpoint_at is None:
            return "never read"
        return "idle" if self.idle else "reading" if self.lag_records else "at the end"


@dataclass(frozen=True, slots=True)
class OpenSpan:
    """An open window of a site and source, over all partitions of the source. Times are UTC milliseconds."""

    site_id: str
    source: str
    start: int
    end: int
    records: int
    partitions: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker, whether it makes progress, and what keeps it from that."""

    stage: str
    url: str
    state: str
    reasons: dict[str, str]
    pressure: str
    paused: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """Everything at `now_ms`; `remarks` say what is not known."""

    now_ms: int
    partitions: list[PartitionRow] = field(default_factory=list[PartitionRow])
    spans: list[OpenSpan] = field(default_factory=list[OpenSpan])
    accounts: Totals = field(default_factory=Totals)
    workers: list[WorkerState] = field(default_factory=list[WorkerState])
    remarks: list[str] = field(default_factory=list[str])

    @property
    def lag_records(self) -> int:
        """Records that no partition has read yet."""
        return sum(row.lag_records or 0 for row in self.partitions)

    @property
    def watermark(self) -> int | None:
        """The lowest frontier of a partition that is not idle, else the furthest of all; None without any."""
        busy = [row.frontier for row in self.partitions if row.frontier is not None and not row.idle]
        known = [row.frontier for row in self.partitions if row.frontier is not None]
        return min(busy) if busy else max(known, default=None)

    @property
    def pressing(self) -> list[WorkerState]:
        """Workers that take nothing at the moment, or do not answer."""
        return [worker for worker in self.workers if worker.paused or worker.state != "ready"]


def partition_rows(
    frontiers: Mapping[str, Frontier], ends: Mapping[str, int], source_of: Mapping[str, str], now_ms: int
) -> list[PartitionRow]:
    """A row for each partition that has a frontier record or a log. `source_of` is by topic."""
    keys = sorted({*frontiers, *ends}, key=parse_partition_key)
    return [
        _row(key, frontiers.get(key), ends.get(key), source_of.get(parse_partition_key(key)[0], "?"), now_ms)
        for key in keys
    ]


def _row(key: str, frontier: Frontier | None, end: int | None, source: str, now_ms: int) -> PartitionRow:
    if frontier is None:
        empty = {"frontier": None, "event_lag_s": None, "max_event_time": None, "checkpoint_at": None}
        counts = dict.fromkeys(("open_windows", "open_records", "dead", "corrected", "gaps"), 0)
        return PartitionRow(
            partition=key, source=source, position=None, end=end, lag_records=end, idle=False, worker="",
            checkpoint_age_s=None, **empty, **counts,
        )  # fmt: skip
    return PartitionRow(
        partition=key,
        source=source,
        position=frontier.position,
        end=end,
        lag_records=None if end is None else max(0, end - frontier.position),
        frontier=frontier.frontier,
        event_lag_s=None if frontier.frontier is None else (now_ms - frontier.frontier) // 1000,
        max_event_time=frontier.max_event_time,
        idle=frontier.idle,
        open_windows=len(frontier.open_windows),
        open_records=sum(window.count for window in frontier.open_windows),
        dead=frontier.counts.dead,
        corrected=frontier.counts.corrected,
        gaps=frontier.counts.gap,
        checkpoint_at=frontier.checkpoint_at,
        checkpoint_age_s=max(0, now_ms - frontier.checkpoint_at) // 1000,
        worker=frontier.worker_id,
    )


def open_spans(frontiers: Iterable[Frontier], most: int = MOST_SPANS) -> list[OpenSpan]:
    """Open windows by site, start and source, the earliest `most` of them."""
    found: dict[tuple[str, int, int, str], tuple[int, int]] = {}
    for frontier in frontiers:
        for window in frontier.open_windows:
            key = window.site_id, window.start, window.end, frontier.source.value
            records, partitions = found.get(key, (0, 0))
            found[key] = records + window.count, partitions + 1
    spans = [
        OpenSpan(site, source, start, end, records, partitions)
        for (site, start, end, source), (records, partitions) in found.items()
    ]
    return sorted(spans, key=lambda span: (span.start, span.site_id, span.source))[:most]


def accounts_of(frontiers: Iterable[Frontier]) -> Totals:
    """Where all records are, by the frontier records alone."""
    known = list(frontiers)
    return Totals(
        delivered=sum(one.counts.delivered for one in known),
        in_batches=sum(one.counts.batched for one in known),
        in_corrections=sum(one.counts.corrected for one in known),
        dead_lettered=sum(one.counts.dead for one in known),
        open=sum(window.count for one in known for window in one.open_windows),
        gaps=sum(one.counts.gap for one in known),
    )


def worker_state(reading: Reading) -> WorkerState:
    """What a reading says of its worker."""
    if reading.error is not None:
        return WorkerState(reading.stage, reading.url, f"does not answer: {reading.error}", {}, "unknown", False)
    pressure = backpressure(reading) if reading.stage == "stream" else "none"
    paused = bool(total(reading.samples, _ACTIVE))
    state = "ready" if reading.ready else "NOT ready"
    return WorkerState(reading.stage, reading.url, state, dict(reading.reasons), pressure, paused)


def as_row(row: PartitionRow) -> dict[str, Any]:
    """A partition as a row of a table."""
    return {**asdict(row), "state": row.state}
