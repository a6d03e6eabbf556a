"""The catalogue: batches as they were announced, their sites, until when these are complete, and Kafka offsets."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from batcher.queries import Connection, load_queries, registered

_QUERIES = load_queries("catalogue")


def known_batches(connection: Connection, batch_ids: Sequence[str]) -> set[str]:
    """Those of the batches that were inserted."""
    return {batch_id for (batch_id,) in _QUERIES["known_batches"].rows(connection, batch_ids=list(batch_ids))}


def next_batch_no(connection: Connection) -> int:
    """The number that the next new batch gets; numbers ascend in the order of insertion."""
    return _QUERIES["next_batch_no"].value(connection)


def insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Insert new batches, rows of the table `batches`, and make their sites known."""
    with registered(connection, "new_batches", pa.Table.from_pylist(rows)):
        _QUERIES["insert_batches"].rows(connection)
        _QUERIES["insert_sites"].rows(connection)


def batches(connection: Connection, site_id: str | None, row_limit: int | None = None) -> pa.Table:
    """The catalogue, of one site or of all, in the order of announcement per site.

    The manifest's fields, `partition` and `offset` of where it stood on the batches topic, `facts_new`, `duplicates`,
    `conflicts`.
    """
    return _QUERIES["batches"].table(connection, site_id=site_id, row_limit=row_limit)


def windows(connection: Connection, site_id: str, row_limit: int) -> list[dict[str, Any]]:
    """The latest windows of a site that have batches: start_ms, end_ms, records, batches, corrections."""
    return _QUERIES["windows"].table(connection, site_id=site_id, row_limit=row_limit).to_pylist()


def sites(connection: Connection) -> dict[str, int]:
    """Every site that a batch named, sorted, and the partition of the batches topic that it comes from."""
    return dict(_QUERIES["sites"].rows(connection))


def offsets(connection: Connection) -> dict[tuple[str, int], int]:
    """(topic, partition) → the next offset to consume."""
    return {(topic, partition): offset for topic, partition, offset in _QUERIES["offsets"].rows(connection)}


def set_offset(connection: Connection, topic: str, partition: int, next_offset: int) -> None:
    """Remember the next offset to consume."""
    _QUERIES["set_offset"].rows(connection, topic=topic, partition=partition, next_offset=next_offset)


def topic_id(connection: Connection, topic: str) -> str | None:
    """The broker's id of a topic that was consumed; None if none was remembered."""
    rows = _QUERIES["topic_id"].rows(connection, topic=topic)
    return rows[0][0] if rows else None


def set_topic_id(connection: Connection, topic: str, topic_id: str) -> None:
    """Remember which topic it is that is consumed: a recreated one has another id."""
    _QUERIES["set_topic_id"].rows(connection, topic=topic, topic_id=topic_id)


def set_complete_until(connection: Connection, site_id: str, until_ms: int) -> None:
    """All windows of the site that end by `until_ms` are complete; an earlier instant takes nothing back."""
    _QUERIES["set_complete_until"].rows(connection, site_id=site_id, until_ms=until_ms)


def complete_until(connection: Connection) -> dict[str, int]:
    """Up to when sites are complete; those of which no window is are left out."""
    return dict(_QUERIES["complete_until"].rows(connection))
