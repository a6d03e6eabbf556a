"""Every topic of the system in one table: name, partitions, and the settings that its data's safety rests on."""

from dataclasses import dataclass, field
from enum import StrEnum

DAY_MS = 86_400_000
MAX_RECORD_BYTES = 1 << 20  # a source record's value
SOURCE_MAX_MESSAGE = MAX_RECORD_BYTES + (16 << 10)  # value, key and headers
DEAD_LETTER_HEADROOM = 64 << 10  # for the headers that say what was wrong
DEAD_LETTER_MAX_MESSAGE = SOURCE_MAX_MESSAGE + DEAD_LETTER_HEADROOM


class TopicRole(StrEnum):
    """What a topic is for; also its name in the settings (`topics.orders` …)."""

    ORDERS = "orders"
    RETURNS = "returns"
    CYCLE_COUNTS = "cycle_counts"
    REFERENCE = "reference"
    BATCHES = "batches"
    FRONTIERS = "frontiers"
    DEAD_LETTERS = "dead_letters"
    AUDIT_LOG = "audit_log"
    CONTROL = "control"
    COEFFICIENTS = "coefficients"
    FAILED_CHUNKS = "failed_chunks"


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be. `required` settings endanger data when they differ; `advised` ones do not."""

    role: TopicRole
    name: str
    partitions: int
    holds: str
    required: dict[str, str] = field(default_factory=dict[str, str])
    advised: dict[str, str] = field(default_factory=dict[str, str])
    fixed_partitions: bool = True  # a different number of partitions is refused


_FOREVER = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
_COMPACT = {"cleanup.policy": "compact"}
#: A frontier record takes some 150 bytes per open window, a manifest of corrections some 30 per window it touches, a
#: failed chunk the length of its SKUs, of which there may be 20,000.
_ROOMY = {"max.message.bytes": str(8 << 20)}


def _source(role: TopicRole, name: str, holds: str) -> TopicSpec:
    return TopicSpec(
        role,
        name,
        6,
        holds,
        required={"cleanup.policy": "delete"},
        advised={"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(SOURCE_MAX_MESSAGE)},
        fixed_partitions=False,
    )


TOPICS: tuple[TopicSpec, ...] = (
    _source(TopicRole.ORDERS, "wms.orders.v1", "order events"),
    _source(TopicRole.RETURNS, "wms.returns.v1", "return events"),
    _source(TopicRole.CYCLE_COUNTS, "wms.cycle-counts.v1", "cycle count events"),
    TopicSpec(TopicRole.REFERENCE, "velocity.reference.v1", 1, "effective-dated reference data", _COMPACT),
    TopicSpec(TopicRole.BATCHES, "velocity.batches.v1", 6, "manifests of batches, by site", _FOREVER, _ROOMY),
    TopicSpec(TopicRole.FRONTIERS, "velocity.frontiers.v1", 1, "state of each source partition", _COMPACT, _ROOMY),
    TopicSpec(
        TopicRole.DEAD_LETTERS,
        "velocity.dead-letters.v1",
        6,
        "refused records, byte for byte",
        required={"cleanup.policy": "delete", "max.message.bytes": str(DEAD_LETTER_MAX_MESSAGE)},
        advised={"retention.ms": str(90 * DAY_MS)},
    ),
    TopicSpec(TopicRole.AUDIT_LOG, "velocity.audit-log.v1", 1, "who did what, when and why", _FOREVER),
    TopicSpec(
        TopicRole.CONTROL,
        "velocity.control.v1",
        1,
        "requests to all workers",
        advised={"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)},
    ),
    TopicSpec(TopicRole.COEFFICIENTS, "velocity.coefficients.v1", 6, "newest coefficients", _COMPACT),
    TopicSpec(
        TopicRole.FAILED_CHUNKS,
        "velocity.failed-chunks.v1",
        1,
        "chunks that could not be delivered",
        advised={"cleanup.policy": "delete", "retention.ms": str(90 * DAY_MS), **_ROOMY},
    ),
)
