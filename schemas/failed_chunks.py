"""What became of chunks that could not be delivered or computed: records of the failed-chunks topic, as JSON.

The newest record of a `chunk_id` says how it stands. Its key on the topic is the `chunk_id`.
"""

from enum import StrEnum

import msgspec


class ChunkState(StrEnum):
    """How a chunk stands that failed once."""

    FAILED = "failed"
    RETRY = "retry"  # somebody asked for it to be tried again
    DELIVERED = "delivered"
    DISCARDED = "discarded"  # by a person, with a reason
    SUPERSEDED = "superseded"  # a later run has delivered all of its SKUs


class ChunkError(msgspec.Struct, frozen=True, kw_only=True):
    """The last failure: its kind, the HTTP status if there was one, and the beginning of what was answered."""

    kind: str
    message: str
    status: int | None = None
    body: str | None = None


class FailedChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk of a run for one `sink`; `compute` is the sink of chunks that a batch processor asked for.

    `chunk_id` is stable: the same chunk of the same run and sink. `retries` are the attempts after the first. `at` is
    RFC 3339, UTC. `reason` is a person's, of a discarded chunk.
    """

    chunk_id: str
    sink: str
    site_id: str | None
    horizon: str
    run_id: str
    skus: list[str]
    retries: int
    error: ChunkError | None
    at: str
    state: ChunkState = ChunkState.FAILED
    reason: str | None = None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(FailedChunk)


def encode_failed_chunk(chunk: FailedChunk) -> bytes:
    """Compact JSON in the order of the fields."""
    return _ENCODER.encode(chunk)


def decode_failed_chunk(data: bytes) -> FailedChunk:
    """The inverse of `encode_failed_chunk`.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the bytes are no such record.
    """
    return _DECODER.decode(data)
