"""Failed chunks for the command line: which are meant, and what is done about them.

Those of the compute API are asked for and recorded here. Any other sink's belong to the worker that owns the site: it
is told, and records what becomes of them.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import structs

from batcher import VelocityBatchProcessor
from batcher.compute_chunks import Row
from batcher.delivery.failed_chunks import FailedChunkLog, History
from batcher.processor import SINK
from console.client import BatchApi, Question
from console.errors import CommandFailed, UsageError
from console.who import who
from runtime.door import own_token
from runtime.settings import Settings
from schemas.failed_chunks import ChunkState, FailedChunk
from schemas.instants import rfc3339

#: States in which somebody has to act.
OPEN = frozenset({ChunkState.FAILED, ChunkState.RETRY})


@dataclass(frozen=True, slots=True)
class ChunkFilter:
    """Which chunks are meant; what is None means all."""

    states: frozenset[ChunkState] | None = OPEN
    sink: str | None = None
    site: str | None = None

    def matches(self, chunk: FailedChunk) -> bool:
        """Whether a chunk is meant, by its newest record."""
        return (
            (self.states is None or chunk.state in self.states)
            and self.sink in (None, chunk.sink)
            and self.site in (None, chunk.site_id)
        )


def newest(histories: Mapping[str, History], wanted: ChunkFilter) -> list[FailedChunk]:
    """How the chunks stand that a filter means, the last change first."""
    found = [history[-1] for history in histories.values() if wanted.matches(history[-1])]
    return sorted(found, key=lambda chunk: chunk.at, reverse=True)


def find(histories: Mapping[str, History], chunk_id: str) -> History:
    """The history of a chunk, by its id or the beginning of it.

    Raises:
        UsageError: there is none, or more than one.
    """
    if chunk_id in histories:
        return histories[chunk_id]
    found = [known for known in histories if known.startswith(chunk_id)]
    if len(found) != 1:
        many = f"{len(found)} chunks begin with {chunk_id}: write more of it"
        none = f"there is no failed chunk {chunk_id}; `velocity chunks list --all` shows which there are"
        raise UsageError(many if found else none)
    return histories[found[0]]


@dataclass(slots=True)
class Outcome:
    """What became of chunks: their states by id, and the rows that compute chunks were answered with."""

    states: dict[str, ChunkState] = field(default_factory=dict[str, ChunkState])
    rows: list[Row] = field(default_factory=list[Row])


async def retry(settings: Settings, chunks: Iterable[FailedChunk]) -> Outcome:
    """Try chunks again, one after another.

    Raises:
        CommandFailed: a worker does not answer, or does not know the chunk.
        KafkaError: the failed-chunks topic cannot be written.
    """
    outcome = Outcome()
    async with FailedChunkLog(settings) as log:
        for chunk in chunks:
            if chunk.sink == SINK:
                outcome.states[chunk.chunk_id] = await _compute(settings, log, chunk, outcome.rows)
            else:
                outcome.states[chunk.chunk_id] = await _tell_owner(settings, "retry", chunk, {})
    return outcome


async def discard(settings: Settings, chunks: Iterable[FailedChunk], reason: str) -> Outcome:
    """Give chunks up for good; who did it is added to the reason.

    Raises:
        CommandFailed: a worker does not answer, or does not know the chunk.
        KafkaError: the failed-chunks topic cannot be written.
    """
    outcome, signed = Outcome(), f"{reason} ({who()})"
    async with FailedChunkLog(settings) as log:
        for chunk in chunks:
            if chunk.sink == SINK:
                await log.write(_changed(chunk, state=ChunkState.DISCARDED, reason=signed))
                outcome.states[chunk.chunk_id] = ChunkState.DISCARDED
            else:
                outcome.states[chunk.chunk_id] = await _tell_owner(settings, "discard", chunk, {"reason": signed})
    return outcome


async def _compute(settings: Settings, log: FailedChunkLog, chunk: FailedChunk, rows: list[Row]) -> ChunkState:
    """Ask the API for the chunk's SKUs, as of the newest calculation, and record what came of it."""
    failed: list[FailedChunk] = []

    async def note(again: FailedChunk) -> None:
        failed.append(again)

    async with VelocityBatchProcessor(
        settings.api.url,
        site_id=chunk.site_id,
        window=chunk.horizon,
        on_failed=note,
        token=own_token(settings.serve),
    ) as processor:
        found = await processor.fetch_chunk(chunk.skus)
    retries = chunk.retries + 1 + (failed[0].retries if failed else 0)
    if failed:
        await log.write(_changed(chunk, state=ChunkState.FAILED, retries=retries, error=failed[0].error))
        return ChunkState.FAILED
    rows += found
    await log.write(_changed(chunk, state=ChunkState.DELIVERED, retries=retries))
    return ChunkState.DELIVERED


async def _tell_owner(settings: Settings, what: str, chunk: FailedChunk, more: dict[str, Any]) -> ChunkState:
    body = {"chunk_id": chunk.chunk_id, "site_id": chunk.site_id, **more}
    async with BatchApi(settings) as api:
        answers = await api.ask(Question(f"/api/v1/chunks/{what}", body=body), chunk.site_id)
    try:
        return ChunkState(msgspec.json.decode(answers[0])["state"])
    except (IndexError, KeyError, ValueError) as error:
        raise CommandFailed(f"the owner of {chunk.chunk_id} does not say how it stands: {error!r}") from error


def _changed(chunk: FailedChunk, **changes: Any) -> FailedChunk:
    return structs.replace(chunk, at=rfc3339(time.time_ns() // 1_000_000), **changes)
