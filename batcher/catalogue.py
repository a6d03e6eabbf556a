"""The catalogue: batches as they were announced, the sites that they name, complete windows, and Kafka offsets."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from batcher.queries import fetch_table, load_queries, registered
from schemas.records import Window

_QUERIES = load_queries("catalogue")


def known_batches(connection: duckdb.DuckDBPyConnection, batch_ids: Sequence[str]) -> set[str]:
    """Those of the batches that were inserted."""
    rows = connection.execute(_QUERIES["known_batches"], {"batch_ids": list(batch_ids)}).fetchall()
    return {batch_id for (batch_id,) in rows}


def next_batch_no(connection: duckdb.DuckDBPyConnection) -> int:
    """The number that the next new batch gets; numbers ascend in the order of insertion."""
    return _one(connection, "next_batch_no", {})


def insert(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    """Insert new batches, rows of the table `batches`, and make their sites known."""
    with registered(connection, "new_batches", pa.Table.from_pylist(rows)):
        connection.execute(_QUERIES["insert_batches"])
        connection.execute(_QUERIES["insert_sites"])


def batches(connection: duckdb.DuckDBPyConnection, site_id: str | None) -> pa.Table:
    """The catalogue, of one site or of all: the manifest's fields, `partition` and `offset` of where it stood on the batches
    topic, `facts_new`, `duplicates`, `conflicts`; in the order of announcement per site."""
    return fetch_table(connection, _QUERIES["batches"], {"site_id": site_id})


def sites(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Every site that a batch named, sorted, and the partition of the batches topic that it comes from."""
    return dict(connection.execute(_QUERIES["sites"]).fetchall())


def offsets(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], int]:
    """(topic, partition) → the next offset to consume."""
    rows = connection.execute(_QUERIES["offsets"]).fetchall()
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def set_offset(connection: duckdb.DuckDBPyConnection, topic: str, partition: int, next_offset: int) -> None:
    """Remember the next offset to consume."""
    values = {"topic": topic, "partition": partition, "next_offset": next_offset}
    connection.execute(_QUERIES["set_offset"], values)


def set_complete(connection: duckdb.DuckDBPyConnection, site_id: str, windows: Iterable[Window]) -> None:
    """Windows of the site are complete, once and for all."""
    bounds = sorted(set(windows))
    values = {"site_id": site_id, "starts": [w.start for w in bounds], "ends": [w.end for w in bounds]}
    connection.execute(_QUERIES["set_complete"], values)


def complete_among(connection: duckdb.DuckDBPyConnection, site_id: str, windows: Collection[Window]) -> int:
    """How many of the windows are complete. Complete windows of a former grid do not count."""
    if not windows:
        return 0
    span = {"start_ms": min(w.start for w in windows), "end_ms": max(w.end for w in windows)}
    rows = connection.execute(_QUERIES["complete_windows"], {"site_id": site_id, **span}).fetchall()
    return len({Window(start, end) for start, end in rows}.intersection(windows))


def latest_complete_end(connection: duckdb.DuckDBPyConnection, site_id: str) -> int | None:
    """End of the latest complete window of the site in UTC milliseconds; None without one."""
    return _one(connection, "latest_complete_end", {"site_id": site_id})


def _one(connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any]) -> Any:
    ((value,),) = connection.execute(_QUERIES[query], values).fetchall()
    return value
