"""What is delivered: the difference between a run and what a sink has, cut into chunks. Pure.

    PENDING ──► SENDING ──► ACKNOWLEDGED
       │         │   ▲ │
       └──► DROPPED──┘ └──► FAILED ──► SENDING, when a person asks for it

`SENDING` is on disk before the first octet leaves: whatever ends this process, the chunk is then sent again under the
same key, and the other side, which may have it already, applies it once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from schemas.delivery import DeliveryChunk, SkuRange
from schemas.instants import rfc3339


class Progress(StrEnum):
    """How far a chunk of the delivery in hand has come."""

    PENDING = "pending"  # never sent
    SENDING = "sending"  # sent, perhaps: in doubt
    ACKNOWLEDGED = "acknowledged"
    DROPPED = "dropped"  # in a file, until an endpoint takes it
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What is delivered where: the coefficients of a site over a horizon, to one sink."""

    sink: str
    site_id: str
    horizon: str


@dataclass(frozen=True, slots=True)
class Heading:
    """What the chunks of a delivery have in common.

    `base` says what the delivery is relative to: the run that the sink had, or the request of a full synchronisation.
    `planned_at_ms` tells it from any other, also where the same inputs, and so the same run, come back.
    """

    target: Target
    run_id: str
    as_of_ms: int
    coverage: float | None
    base: str
    planned_at_ms: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of the delivery in hand; `number` counts from 1. The idempotency `key` is its chunk id, too."""

    target: Target
    number: int
    key: str
    rows: int
    removed: int
    progress: Progress
    attempts: int

    @property
    def skus(self) -> int:
        """How many SKUs it names."""
        return self.rows + self.removed


def encode_body(
    heading: Heading, number: int, rows: Sequence[str], removed: Sequence[str], covers: Sequence[SkuRange] = ()
) -> bytes:
    """A `DeliveryChunk` as JSON. `rows` are `DeliveredRow`s as JSON; all are in the order of SKUs."""
    empty = DeliveryChunk(
        site_id=heading.target.site_id,
        horizon=heading.target.horizon,
        as_of=rfc3339(heading.as_of_ms),
        run_id=heading.run_id,
        coverage=heading.coverage,
        chunk=number,
        chunks=heading.chunks,
        rows=[],
        removed=list(removed),
        covers=list(covers),
    )
    return msgspec.json.encode(msgspec.structs.asdict(empty) | {"rows": [msgspec.Raw(row.encode()) for row in rows]})


def idempotency_key(heading: Heading, number: int, body: bytes) -> str:
    """SHA-256, 64 hexadecimal digits: the same chunk of the same delivery and no other has it."""
    target = heading.target
    what = (target.sink, target.site_id, target.horizon, heading.run_id, heading.base, heading.planned_at_ms, number)
    digest = hashlib.sha256(msgspec.json.encode(what))
    digest.update(body)
    return digest.hexdigest()


def chunk_count(skus: int, chunk_skus: int) -> int:
    """How many chunks so many SKUs fill."""
    return -(-skus // chunk_skus)
