"""The catalogue: batches as they were announced, the sites that they name, complete windows, and Kafka offsets."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa

from batcher.queries import Connection, load_queries, registered
from schemas.records import Window

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


def batches(connection: Connection, site_id: str | None, row_limit: int | None, batch_id: str | None) -> pa.Table:
    """The catalogue, of one site or of all, in the order of announcement per site; or a single batch of it.

    The manifest's fields, `partition` and `offset` of where it stood on the batches topic, `facts_new`, `duplicates`,
    `conflicts`.
    """
    return _QUERIES["batches"].table(connection, site_id=site_id, row_limit=row_limit, batch_id=batch_id)


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


def set_complete(connection: Connection, site_id: str, windows: Iterable[Window]) -> None:
    """Windows of the site are complete, once and for all."""
    bounds = sorted(set(windows))
    starts, ends = [window.start for window in bounds], [window.end for window in bounds]
    _QUERIES["set_complete"].rows(connection, site_id=site_id, starts=starts, ends=ends)


def complete_among(connection: Connection, site_id: str, windows: Collection[Window]) -> int:
    """How many of the windows are complete. Complete windows of another grid than theirs do not count."""
    if not windows:
        return 0
    start_ms, end_ms = min(window.start for window in windows), max(window.end for window in windows)
    rows = _QUERIES["complete_windows"].rows(connection, site_id=site_id, start_ms=start_ms, end_ms=end_ms)
    return len({Window(start, end) for start, end in rows}.intersection(windows))


def complete_windows(connection: Connection, site_id: str) -> int:
    """How many windows of the site have ever been complete, of whatever grid."""
    return _QUERIES["count_complete"].value(connection, site_id=site_id)


def complete_span(connection: Connection, site_id: str) -> Window | None:
    """From the start of the site's earliest complete window to the end of its latest; None without one."""
    ((start_ms, end_ms),) = _QUERIES["complete_span"].rows(connection, site_id=site_id)
    return None if start_ms is None else Window(start_ms, end_ms)
