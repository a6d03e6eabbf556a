"""What goes into the state of a source partition, and what a checkpoint takes out of it. Pure."""

from dataclasses import dataclass, field

from schemas.dead_letters import DeadLetter
from schemas.records import Counts, Frontier, Gap, OpenWindow
from streams.open_windows import WindowBuffer
from streams.windowing import WindowedRows


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A decoded fetch: offsets `[base, end)` of the log, of which some are rows, some dead letters, some markers."""

    base: int
    end: int
    rows: WindowedRows
    dead_letters: list[DeadLetter]
    dead_bytes: int = 0


@dataclass(slots=True)
class Pending:
    """What waits for the next checkpoint besides windows."""

    corrections: list[WindowedRows] = field(default_factory=list[WindowedRows])
    dead_letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.corrections or self.dead_letters)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one checkpoint commits. `closing` windows and `pending` leave the state once it is settled."""

    seq: int
    position: int
    committed: int
    frontier: int | None
    max_event_time: int | None
    closing: list[WindowBuffer]
    pending: Pending
    open_windows: tuple[OpenWindow, ...]
    counts: Counts
    gaps: tuple[Gap, ...]
    idle: bool
    last_drain: str | None


def committed_snapshot(record: Frontier) -> Snapshot:
    """The snapshot that a frontier record was made of, without its rows and letters."""
    return Snapshot(
        seq=record.checkpoint_seq,
        position=record.position,
        committed=record.committed,
        frontier=record.frontier,
        max_event_time=record.max_event_time,
        closing=[],
        pending=Pending(),
        open_windows=record.open_windows,
        counts=record.counts,
        gaps=record.gaps,
        idle=record.idle,
        last_drain=record.last_drain,
    )
