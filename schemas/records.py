"""Records of our own topics. Each mirrors its `.avsc` field by field; on the wire they are compact JSON.

Times are UTC milliseconds since the epoch, offsets and counts are integers, intervals are half-open.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from schemas.sources import Source


class BatchKind(StrEnum):
    """`on_time`: one closed window. `correction`: late or repaired facts, of any closed windows."""

    ON_TIME = "on_time"
    CORRECTION = "correction"


class ClosedBy(StrEnum):
    """What moved the frontier past the window's end."""

    WATERMARK = "watermark"
    IDLE = "idle"
    DRAIN = "drain"


class Window(msgspec.Struct, frozen=True, order=True):
    """Event time `[start, end)` in UTC milliseconds."""

    start: int
    end: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Announces one immutable batch file: `manifest.avsc`."""

    batch_id: str
    source: Source
    source_topic: str
    source_partition: int
    site_id: str
    kind: BatchKind
    windows: tuple[Window, ...]
    record_count: int
    first_offset: int
    last_offset: int
    min_event_time: int
    max_event_time: int
    path: str
    bytes: int
    sha256: str
    schema_fingerprint: str
    codec: str
    block_count: int
    closed_by: ClosedBy
    checkpoint_seq: int
    settings_hash: str
    pipeline_version: str
    traceparent: str | None = None


class OpenWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One open window at a checkpoint; `offsets_hash` is `offsets_hash()` of its records as 16 hex digits."""

    site_id: str
    start: int
    end: int
    first_offset: int
    count: int
    offsets_hash: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Cumulative accounting: delivered = batched + corrected + dead + Σ count of the open windows."""

    delivered: int = 0
    batched: int = 0
    corrected: int = 0
    dead: int = 0
    gap: int = 0


class Gap(msgspec.Struct, frozen=True):
    """Offsets `[first_offset, end_offset)` that retention removed before they were batched."""

    first_offset: int
    end_offset: int


class Frontier(msgspec.Struct, frozen=True, kw_only=True):
    """State of one source partition at its last checkpoint: `frontier.avsc`."""

    source: Source
    source_topic: str
    source_partition: int
    topic_id: str
    checkpoint_seq: int
    position: int
    frontier: int | None
    max_event_time: int | None
    committed: int
    settings_hash: str
    manifests: dict[int, int]
    open_windows: tuple[OpenWindow, ...]
    counts: Counts
    gaps: tuple[Gap, ...] = ()
    idle: bool = False
    last_drain: str | None = None
    worker_id: str
    pipeline_version: str
    checkpoint_at: int

    @property
    def key(self) -> str:
        """Key of the record on the frontiers topic."""
        return partition_key(self.source_topic, self.source_partition)


class CommitMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What rides along with a committed offset; `r` is the offset of the frontier record it belongs to."""

    v: Literal[1] = 1
    n: int
    f: int | None
    m: int | None
    s: int
    h: str
    r: int


class ControlRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a drain, on the control topic.

    `request` names end offsets per source partition (`topic/partition`), `close` the instant up to which to
    close, `done` ends it.
    """

    id: str
    phase: Literal["request", "close", "done"]
    ends: dict[str, int] = {}
    close_to: int | None = None
    stop: bool = False
    at: int = 0


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when and why: `velocity.audit-log.v1`.

    `seq` is the entry's place in the log from 1, `prev` and `hash` chain it to the one before (`schemas.audit_chain`).
    """

    at: int
    who: str
    action: Literal["replay", "discard", "park", "drain"]
    why: str = ""
    what: dict[str, str] = {}
    seq: int = 0
    prev: str = ""
    hash: str = ""


def partition_key(topic: str, partition: int) -> str:
    """`topic/partition`, the name of a source partition in keys and maps."""
    return f"{topic}/{partition}"


def parse_partition_key(key: str) -> tuple[str, int]:
    """Inverse of `partition_key`.

    Raises:
        ValueError: the key has no `/` or no number behind it.
    """
    topic, _, partition = key.rpartition("/")
    if not topic:
        raise ValueError(f"not a source partition: {key!r}")
    return topic, int(partition)
