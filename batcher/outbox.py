"""What is due on the coefficients topic, in order: the difference between the newest run and what is published.

A SKU that is not in the newest run any more gets a row with zeros; at the next run without it, a tombstone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa

from batcher import runs, stability
from batcher.queries import Connection, load_queries, registered
from batcher.runs import Run
from schemas.coefficients import decode_coefficient
from schemas.instants import parse_rfc3339

_QUERIES = load_queries("outbox")
_PORTION = 20_000  # rows that are dictionaries at a time
_PUBLISH = tuple(
    _QUERIES[step]
    for step in ("find_changed", "find_gone", "enqueue", "remove_former", "insert_changed", "set_published_run")
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record to be published: `value` is a `Coefficient` as JSON, or None for a tombstone. `seq` ascends."""

    seq: int
    key: str
    value: str | None


def publish(connection: Connection, run: Run, partition: int, provisional_ms: int) -> None:
    """Put what the run changes into the outbox, unless a later `as_of` is published already. The run must be current.

    `partition` is that of the batches topic which the site belongs to: its owner publishes.
    """
    published = _QUERIES["published_run"].rows(connection, site_id=run.site_id, horizon=run.horizon)
    if published:
        ((as_of_ms, run_id),) = published
        if as_of_ms > run.as_of_ms or run_id == run.run_id:
            return
    values = {
        "site_id": run.site_id,
        "horizon": run.horizon,
        "run_id": run.run_id,
        "as_of_ms": run.as_of_ms,
        "coverage": run.coverage,
        "provisional_ms": provisional_ms,
        "partition": partition,
    }
    for step in _PUBLISH:
        step.rows(connection, **values)


def pending(connection: Connection, partition: int, row_limit: int) -> list[OutboxRow]:
    """The next records to be published, at most `row_limit`."""
    return [OutboxRow(*row) for row in _QUERIES["pending"].rows(connection, partition=partition, row_limit=row_limit)]


def acknowledge(connection: Connection, partition: int, up_to: int) -> None:
    """Records of the partition up to and including `seq` were published."""
    _QUERIES["acknowledge"].rows(connection, partition=partition, up_to=up_to)


def set_baseline(
    connection: Connection, partition: int, values: Mapping[str, bytes | None], provisional_ms: int
) -> None:
    """The topic holds exactly these values of the partition's sites; the outbox becomes the difference from there.

    A value that is no coefficient is taken back by a tombstone. Wants a transaction around it.
    """
    former = [run_id for (run_id,) in _QUERIES["published_runs"].rows(connection, partition=partition)]
    for step in ("remove_pending", "remove_published", "remove_published_runs"):
        _QUERIES[step].rows(connection, partition=partition)
    rows, unreadable = _columns(values, partition)
    _QUERIES["enqueue_tombstones"].rows(connection, partition=partition, keys=sorted(unreadable))
    if rows is not None:
        with registered(connection, "baseline", rows):
            _QUERIES["insert_baseline"].rows(connection)
            _QUERIES["insert_baseline_runs"].rows(connection)
    stability.recover(connection, partition)
    for run_id in former:
        run = runs.find(connection, run_id)
        if run and run.current:
            publish(connection, run, partition, provisional_ms)


def _columns(values: Mapping[str, bytes | None], partition: int) -> tuple[pa.Table | None, list[str]]:
    """Rows of `published`, and the keys of values that are no coefficients. A row as a dictionary takes 2 KB."""
    tables, unreadable = list[pa.Table](), list[str]()
    pairs = ((key, value) for key, value in values.items() if value is not None)
    while portion := list(islice(pairs, _PORTION)):
        rows = [(key, _row(value, partition)) for key, value in portion]
        unreadable += [key for key, row in rows if row is None]
        if readable := [row for _, row in rows if row is not None]:
            tables.append(pa.Table.from_pylist(readable))
    # A column that is null in all of a portion has no type there.
    return pa.concat_tables(tables, promote_options="permissive") if tables else None, unreadable


def _row(value: bytes, partition: int) -> dict[str, Any] | None:
    """A row of `published` with its `as_of_ms`; None if the value is no coefficient."""
    try:
        values = msgspec.structs.asdict(decode_coefficient(value))
        instants = {f"{name}_ms": parse_rfc3339(values.pop(name)) for name in ("as_of", "first_seen")}
    except (msgspec.MsgspecError, ValueError):
        return None
    del values["run_id"]
    return values | instants | {"partition": partition}
