"""What an audit looks at: frontier records, the manifests and dead letters that they cover, and the source's log."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.records import Frontier, Manifest, partition_key

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Announced:
    """A manifest and where it lies in the batches topic."""

    manifest: Manifest
    partition: int
    offset: int

    @property
    def source_key(self) -> str:
        """`topic/partition` of the source."""
        return partition_key(self.manifest.source_topic, self.manifest.source_partition)


@dataclass(frozen=True, slots=True)
class SourceLog:
    """What the broker retains of a source partition: `[start, end)`, `end` read_committed; the topic's id."""

    start: int
    end: int
    topic_id: str


@dataclass(frozen=True, slots=True)
class PartitionEvidence:
    """All that bears on one source partition up to its frontier record's checkpoint.

    `dead_offsets` are ascending, shape (n,), below the frontier's position. `log` is None where the topic is gone.
    """

    frontier: Frontier
    announced: tuple[Announced, ...]
    dead_offsets: Offsets
    log: SourceLog | None

    @property
    def key(self) -> str:
        """`topic/partition`."""
        return self.frontier.key


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything. `strays` are manifests that no committed checkpoint covers; log starts are by partition; `unreadable`
    records of the batches topic stand with the reason.
    """

    partitions: tuple[PartitionEvidence, ...]
    strays: tuple[Announced, ...] = ()
    batches_topic: str = ""
    batch_log_starts: Mapping[int, int] = field(default_factory=dict[int, int])
    dead_letter_log_starts: Mapping[int, int] = field(default_factory=dict[int, int])
    unreadable: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()
