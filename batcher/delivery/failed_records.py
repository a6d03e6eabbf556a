"""Records of chunks that failed, on their way to their topic: changed with the chunk, told later, at least once."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from batcher.delivery.chunks import Target
from batcher.queries import Connection, load_queries
from schemas.failed_chunks import ChunkState, FailedChunk, decode_failed_chunk, encode_failed_chunk

_QUERIES = load_queries("deliveries")
_OPEN = frozenset({ChunkState.FAILED, ChunkState.RETRY})


def enter(connection: Connection, target: Target, record: FailedChunk) -> None:
    """The newest record of a chunk, in place of earlier ones."""
    _QUERIES["forget_failed"].rows(connection, chunk_id=record.chunk_id)
    values = {"chunk_id": record.chunk_id, "settled": record.state not in _OPEN}
    text = encode_failed_chunk(record).decode()
    _QUERIES["set_failed"].rows(connection, **asdict(target), **values, record=text)


def find(connection: Connection, chunk_id: str) -> FailedChunk | None:
    """The record of a chunk that failed and is not settled."""
    rows = _QUERIES["failed_named"].rows(connection, chunk_id=chunk_id)
    return decode_failed_chunk(rows[0][0].encode()) if rows else None


def turn(connection: Connection, target: Target, chunk_id: str, state: ChunkState, at: str, **changes: Any) -> None:
    """Something has become of a chunk, in case it had failed before; `changes` of its record besides."""
    if record := find(connection, chunk_id):
        enter(connection, target, msgspec.structs.replace(record, state=state, at=at, **changes))


def supersede(connection: Connection, target: Target, at: str) -> int:
    """All of the target's rows are acknowledged, by whichever run: no chunk is failed any more; how many were."""
    rows = _QUERIES["failed_of"].rows(connection, **asdict(target))
    for (text,) in rows:
        record = decode_failed_chunk(text.encode())
        enter(connection, target, msgspec.structs.replace(record, state=ChunkState.SUPERSEDED, at=at))
    return len(rows)


def untold(connection: Connection) -> list[FailedChunk]:
    """Records that the topic has yet to get, some at a time."""
    return [decode_failed_chunk(text.encode()) for (text,) in _QUERIES["untold"].rows(connection)]


def set_told(connection: Connection, records: Sequence[FailedChunk]) -> None:
    """The topic has these records; those that are settled are of no more use."""
    for record in records:
        text = encode_failed_chunk(record).decode()
        _QUERIES["set_told"].rows(connection, chunk_id=record.chunk_id, record=text)
    _QUERIES["forget_settled"].rows(connection)


def counts(connection: Connection) -> dict[str, int]:
    """Sink → chunks that failed and are not settled."""
    return dict(_QUERIES["failed_counts"].rows(connection))
