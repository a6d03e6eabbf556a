"""A batch worker's database after days of history: filled once, by DuckDB itself, and used again by every run.

One site, a batch per 10,000 facts, the last fact where a feed begins. What a lane does to the file is taken back.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from batcher import catalogue
from batcher.database import Database
from benchmarks.feed import SITE, START_MS
from runtime.settings import Settings
from runtime.sites import site_windows
from schemas.records import BatchKind, ClosedBy, Manifest, Window
from schemas.sources import Source

END_MS = START_MS
FACTS_PER_BATCH = 10_000

_DAY_MS = 86_400_000
_PIECE = 2_500_000  # facts that are inserted at once
_MEMORY = "2GB"

#: 94 in 100 facts are orders, 4 returns, 2 counts. `hash` is DuckDB's own: the same facts every time. What the columns
#: of hashes are hashes of is the batch stage's affair: here they are any numbers, as they are to what reads them.
_FACTS = """
INSERT INTO facts BY NAME
WITH drawn AS (
    SELECT i, i % 100 AS kind, (hash(i) % 1_000_000) / 1e6 AS u, hash(i + 1_000_000_000) AS h
    FROM range($first, $end) t(i)
)
SELECT
    CASE WHEN kind < 94 THEN 'orders' WHEN kind < 98 THEN 'returns' ELSE 'cycle-counts' END::source AS source,
    $site AS site_id, format('{{:08x}}-{{:x}}', i, h) AS event_id,
    format('SKU-{{:06d}}', floor($skus * u * u * u)::BIGINT) AS sku,
    $end_ms - ($facts - i) * $span_ms::BIGINT // $facts - (h % 30_000)::BIGINT AS event_time_ms,
    'EA' AS uom,
    CASE WHEN kind < 98 THEN (1 + h % 12)::DECIMAL(18, 3) END AS quantity,
    CASE WHEN kind >= 98 THEN ((h % 7)::BIGINT - 3)::DECIMAL(18, 3) END AS variance,
    CASE WHEN kind >= 98 THEN (h % 500)::DECIMAL(18, 3) END AS book_quantity,
    format('ORD-{{:08d}}', i // 4) AS order_id, i % 4 + 1 AS line, 1 + i // $per_batch AS batch_no, {hashes}
FROM drawn ORDER BY i
"""
_DAYS = """
INSERT INTO fact_days BY NAME
SELECT site_id, source, event_time_ms // 86_400_000 AS day, count(*) AS facts, {sums} FROM facts GROUP BY ALL
"""
_FIRSTS = "INSERT INTO first_facts SELECT site_id, sku, uom, min(event_time_ms) FROM facts GROUP BY ALL"
_COLUMNS = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND data_type = ? ORDER BY column_index"


def ensure_history(days: int, facts_per_day: int, skus: int, cache: Path) -> Path:
    """The database with so much history, filled now unless it was before."""
    schema = hashlib.sha256(files("batcher").joinpath("schema.sql").read_bytes()).hexdigest()[:8]
    file = cache / f"history-{days}d-{facts_per_day}-{skus}-{schema}.duckdb"
    if not file.exists():
        draft = file.with_suffix(".part")
        draft.unlink(missing_ok=True)
        open_history(draft).close()
        with duckdb.connect(draft, config={"memory_limit": _MEMORY}) as connection:
            _fill(connection, days, days * facts_per_day, skus)
        draft.rename(file)
    return file


def open_history(file: Path) -> Database:
    """The database as a batch worker opens it."""
    settings = Settings()
    return Database.open(file, settings, site_windows(settings))


@contextmanager
def taken_back(database: Database) -> Iterator[None]:
    """A transaction that is rolled back at its end: the next run finds what this one has found."""
    with suppress(_TakenBack), database.transaction():
        yield
        raise _TakenBack


class _TakenBack(Exception):
    """Ends the transaction."""


def _fill(connection: duckdb.DuckDBPyConnection, days: int, facts: int, skus: int) -> None:
    hashes = ", ".join(
        f"hash(i + {number}_000_000_000) AS {name}" for number, name in enumerate(_columns(connection, "facts"), 2)
    )
    values = {"site": SITE, "skus": skus, "facts": facts, "end_ms": END_MS, "span_ms": days * _DAY_MS}
    for first in range(0, facts, _PIECE):
        bounds = {"first": first, "end": min(facts, first + _PIECE), "per_batch": FACTS_PER_BATCH}
        connection.execute(_FACTS.format(hashes=hashes), values | bounds)
    sums = ", ".join(f"0 AS {name}" for name in _columns(connection, "fact_days", "HUGEINT"))
    connection.execute(_DAYS.format(sums=sums))
    connection.execute(_FIRSTS)
    catalogue.insert(connection, [_batch(number) for number in range(1, -(-facts // FACTS_PER_BATCH) + 1)])


def _columns(connection: duckdb.DuckDBPyConnection, table: str, kind: str = "UBIGINT") -> list[str]:
    return [name for (name,) in connection.execute(_COLUMNS, [table, kind]).fetchall()]


def _batch(number: int) -> dict[str, Any]:
    """A row of the catalogue: the numbers of new batches go on from the last one."""
    manifest = Manifest(
        batch_id=f"history.{number:09}",
        source=Source.ORDERS,
        source_topic="bench.history",
        source_partition=0,
        site_id=SITE,
        kind=BatchKind.ON_TIME,
        windows=(Window(0, 1),),
        record_count=FACTS_PER_BATCH,
        first_offset=0,
        last_offset=FACTS_PER_BATCH - 1,
        min_event_time=0,
        max_event_time=0,
        path=f"history/{number:09}.avro",
        bytes=1,
        sha256="",
        schema_fingerprint="",
        codec="deflate",
        block_count=1,
        closed_by=ClosedBy.WATERMARK,
        checkpoint_seq=number,
        settings_hash="",
        pipeline_version="",
    )
    outcome = {"facts_new": FACTS_PER_BATCH, "duplicates": 0, "conflicts": 0}
    return msgspec.to_builtins(manifest) | outcome | {"batch_no": number, "partition": 0, "offset": number}
