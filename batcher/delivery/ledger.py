"""What sinks have, and the deliveries in hand, in DuckDB. Every function wants a transaction around it that is its own.

A delivery is planned once, frozen, and then sent. When it ends, or another one is planned, what became of its chunks is
taken over into what the sink is known to have: acknowledged rows as they were sent, those of any other chunk that was
sent as in doubt, which makes them part of the next delivery whatever they are.

Until a sink has acknowledged a run in full, nobody knows which other SKUs it has. Until then, and where everything is
asked for, chunks cover ranges, which together are all SKUs: what the sink has in them and is not told of is to go.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from batcher.delivery.chunks import Chunk, Heading, Progress, Target, chunk_count, encode_body, idempotency_key
from batcher.queries import Connection, load_queries, registered
from batcher.runs import Run
from schemas.delivery import SkuRange

FROZEN_SKUS = 200_000  # whose rows are in memory at a time
_FROZEN = pa.schema(
    [("number", pa.int32()), ("key", pa.string()), ("body", pa.binary()), ("rows", pa.int64()), ("removed", pa.int64())]
)
_QUERIES = load_queries("deliveries")


@dataclass(frozen=True, slots=True)
class Published:
    """The newest published run of a site over a horizon."""

    site_id: str
    horizon: str
    run_id: str
    as_of_ms: int
    calculated_at_ms: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The last delivery that was planned; it is in hand while it has `chunks`."""

    run_id: str
    as_of_ms: int
    base: str
    planned_at_ms: int
    chunks: int


def published(connection: Connection, site_ids: Sequence[str]) -> list[Published]:
    """The newest published runs of these sites, as far as there are."""
    return [Published(*row) for row in _QUERIES["published"].rows(connection, site_ids=list(site_ids))]


def planned(connection: Connection, target: Target) -> Planned | None:
    """The last delivery that was planned for a target; None without one."""
    rows = _QUERIES["planned"].rows(connection, **asdict(target))
    return Planned(*rows[0]) if rows else None


def acknowledged_run(connection: Connection, target: Target) -> str | None:
    """The run that the target is known to have in full; None without one."""
    rows = _QUERIES["acknowledged_run"].rows(connection, **asdict(target))
    return rows[0][0] if rows else None


def plan(
    connection: Connection, target: Target, run: Run, *, chunk_skus: int, now_ms: int, request: str | None = None
) -> int:
    """Plan the delivery of a current run in place of what is in hand; returns the number of its chunks.

    `request` names a full synchronisation: every row is sent, whatever the sink is known to have.
    """
    where = asdict(target)
    fold(connection, target)
    before, had = planned(connection, target), acknowledged_run(connection, target)
    full = request is not None
    _QUERIES["find_delta"].rows(connection, **where, run_id=run.run_id, chunk_skus=chunk_skus, full=full)
    heading = Heading(
        target=target,
        run_id=run.run_id,
        as_of_ms=run.as_of_ms,
        coverage=run.coverage,
        base=f"full {request}" if full else had or "nothing",
        planned_at_ms=max(now_ms, before.planned_at_ms + 1 if before else now_ms),
        chunks=chunk_count(_QUERIES["delta_size"].value(connection), chunk_skus),
    )
    _QUERIES["freeze_rows"].rows(connection, **where)
    step = max(1, FROZEN_SKUS // chunk_skus)
    for first in range(1, heading.chunks + 1, step):
        _freeze(connection, heading, first, first + step, covering=full or had is None)
    _QUERIES["forget_planned"].rows(connection, **where)
    _QUERIES["set_planned"].rows(connection, **where, **asdict(heading))
    finish(connection, target, now_ms)
    return heading.chunks


def _freeze(connection: Connection, heading: Heading, first: int, after: int, *, covering: bool) -> None:
    """Store the bodies of chunks `[first, after)`."""
    frozen: list[dict[str, Any]] = []
    chunks = _QUERIES["delta_chunks"].rows(connection, first=first, after=after)
    for number, rows, removed, ranges in chunks:
        covers = [SkuRange(**bounds) for bounds in ranges] if covering else []
        body = encode_body(heading, number, rows, removed, covers)
        key = idempotency_key(heading, number, body)
        frozen.append({"number": number, "key": key, "body": body, "rows": len(rows), "removed": len(removed)})
    with registered(connection, "frozen_chunks", pa.Table.from_pylist(frozen, _FROZEN)):
        _QUERIES["freeze_chunks"].rows(connection, **asdict(heading.target))


def fold(connection: Connection, target: Target) -> None:
    """Take over what became of the delivery in hand, which is none then."""
    for step in ("forget_told", "remember_told", "remember_untold", "remove_rows", "remove_chunks"):
        _QUERIES[step].rows(connection, **asdict(target))


def finish(connection: Connection, target: Target, now_ms: int) -> bool:
    """End the delivery in hand if all of it is acknowledged; returns whether it is."""
    where = asdict(target)
    made = planned(connection, target)
    if made is None or _QUERIES["unacknowledged"].value(connection, **where):
        return False
    fold(connection, target)
    _QUERIES["forget_acknowledged"].rows(connection, **where)
    values = {"run_id": made.run_id, "as_of_ms": made.as_of_ms, "now_ms": now_ms}
    _QUERIES["set_acknowledged"].rows(connection, **where, **values)
    return True


def unsettled(connection: Connection, target: Target) -> list[Chunk]:
    """Chunks of the delivery in hand that there is something to do with, in the order of their SKUs."""
    rows = _QUERIES["unsettled"].rows(connection, **asdict(target))
    return [_chunk(target, *row) for row in rows]


def chunk_named(connection: Connection, chunk_id: str) -> Chunk | None:
    """A chunk of a delivery in hand."""
    rows = _QUERIES["chunk_named"].rows(connection, chunk_id=chunk_id)
    return _chunk(Target(*rows[0][:3]), *rows[0][3:]) if rows else None


def body(connection: Connection, chunk: Chunk) -> bytes | None:
    """What is sent of a chunk; None if it is not in hand any more."""
    rows = _QUERIES["body"].rows(connection, **asdict(chunk.target), number=chunk.number, key=chunk.key)
    return rows[0][0] if rows else None


def skus_of(connection: Connection, chunk: Chunk) -> list[str]:
    """The SKUs that a chunk names, sorted."""
    rows = _QUERIES["chunk_skus"].rows(connection, **asdict(chunk.target), number=chunk.number)
    return [sku for (sku,) in rows]


def move(connection: Connection, chunk: Chunk, progress: Progress, *, attempts: int, error: str | None = None) -> None:
    """A chunk has come so far, after so many attempts in all. Nothing happens if it is not in hand any more."""
    values: dict[str, Any] = {"number": chunk.number, "key": chunk.key, "attempts": attempts, "error": error}
    _QUERIES["move"].rows(connection, **asdict(chunk.target), **values, progress=progress)


def dropped_keys(connection: Connection, sink: str) -> set[str]:
    """The keys of the sink's chunks that are in files."""
    return {key for (key,) in _QUERIES["dropped_keys"].rows(connection, sink=sink)}


def doubt(connection: Connection, site_ids: Sequence[str]) -> None:
    """Somebody else may have delivered these sites in the meantime: all their rows are due again."""
    for step in ("doubt_sites", "doubt_chunks_of_sites", "forget_runs_of_sites", "forget_plans_of_sites"):
        _QUERIES[step].rows(connection, site_ids=list(site_ids))


def stop(connection: Connection, sink: str, reason: str, now_ms: int) -> None:
    """Nothing is delivered to the sink until `resume`."""
    _QUERIES["stop"].rows(connection, sink=sink, reason=reason, now_ms=now_ms)


def resume(connection: Connection, sink: str) -> bool:
    """A stopped sink is delivered to again; returns whether it was stopped."""
    return bool(_QUERIES["resume"].rows(connection, sink=sink))


def stopped(connection: Connection) -> dict[str, str]:
    """Sinks that are stopped, and why."""
    return {sink: reason for sink, reason, _ in _QUERIES["stopped"].rows(connection)}


def _chunk(target: Target, number: int, key: str, rows: int, removed: int, progress: str, attempts: int) -> Chunk:
    return Chunk(target, number, key, rows, removed, Progress(progress), attempts)
