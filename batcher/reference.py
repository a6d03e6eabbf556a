"""Reference records and the tables that hold them.

Facts are converted when they are read: a change of reference data, a retroactive one too, takes effect as soon as it is
stored, and nothing that was derived from the former can be left over.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from msgspec import structs

from batcher import catalogue
from batcher.queries import Connection, load_queries, registered
from schemas.reference import Channel, Item, Promotion, ReferenceRecord, Season

_QUERIES = load_queries("reference")
_FACTOR = pa.decimal128(12, 6)


def _table(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([("key", pa.string()), *columns])


#: Per kind of record: its table, and the table's columns.
_TABLES: dict[type[ReferenceRecord], tuple[str, pa.Schema]] = {
    Item: (
        "items",
        _table(("sku", pa.string()), ("uom", pa.string()), ("base_units", _FACTOR), ("valid_from_ms", pa.int64())),
    ),
    Promotion: (
        "promotions",
        _table(
            *(("promo_id", pa.string()), ("site_id", pa.string()), ("sku", pa.string())),
            *(("start_ms", pa.int64()), ("end_ms", pa.int64()), ("uplift", _FACTOR)),
        ),
    ),
    Channel: (
        "channels",
        _table(("site_id", pa.string()), ("channel", pa.string()), ("weight", _FACTOR), ("valid_from_ms", pa.int64())),
    ),
    Season: (
        "seasons",
        _table(
            *(("site_id", pa.string()), ("sku", pa.string()), ("month", pa.int32())),
            *(("index", _FACTOR), ("valid_from_ms", pa.int64())),
        ),
    ),
}
_INSTANTS = ("valid_from", "start", "end")


@dataclass(frozen=True, slots=True)
class ReferenceChange:
    """What records changed: how many rows, the SKUs whose units changed, and the sites whose next run differs by it.

    These are all sites or none: the content of the reference data is part of every run id.
    """

    rows: int
    skus: frozenset[str]
    sites: frozenset[str]


def apply(connection: Connection, records: Iterable[ReferenceRecord]) -> ReferenceChange:
    """Store records; of several under one key the last one counts. Wants a transaction around it."""
    newest = {record.key: record for record in records}
    rows, skus = 0, set[str]()
    for kind, (table, schema) in _TABLES.items():
        chosen = [_row(key, record) for key, record in newest.items() if type(record) is kind]
        if chosen:
            changed, of_skus = _replace(connection, table, pa.Table.from_pylist(chosen, schema))
            rows += changed
            skus |= of_skus if kind is Item else set()
    if not rows:
        return ReferenceChange(0, frozenset(), frozenset())
    _QUERIES["store_hash"].rows(connection, hash=_QUERIES["content_hash"].value(connection))
    return ReferenceChange(rows, frozenset(skus), frozenset(catalogue.sites(connection)))


def content_hash(connection: Connection) -> str:
    """SHA-256 over all reference data, 64 hexadecimal digits, in whatever order the rows came."""
    rows = _QUERIES["stored_hash"].rows(connection)
    return rows[0][0] if rows else hashlib.sha256(b"").hexdigest()


def _row(key: str, record: ReferenceRecord) -> dict[str, Any]:
    values = structs.asdict(record).items()
    return {"key": key} | {f"{name}_ms" if name in _INSTANTS else name: value for name, value in values}


def _replace(connection: Connection, table: str, rows: pa.Table) -> tuple[int, set[str]]:
    """How many rows are not as they were, and their SKUs where they have one."""
    with registered(connection, "new_rows", rows):
        _QUERIES["find_changed"].of_table(table).rows(connection)
    _QUERIES["replace_changed"].of_table(table).rows(connection)
    skus = _QUERIES["changed_skus"].rows(connection) if "sku" in rows.column_names else []
    return _QUERIES["count_changed"].value(connection), {sku for (sku,) in skus}
