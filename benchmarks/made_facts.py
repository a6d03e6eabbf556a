"""Facts of one site that DuckDB makes up by itself: the same every time, and faster than files could be read.

The columns of hashes have any numbers, as they are to what reads them.
"""

import duckdb

_PIECE = 2_500_000  # facts that are inserted at once

#: 94 in 100 facts are orders, 4 returns, 2 counts; few SKUs have most of them. `hash` is DuckDB's own.
_FACTS = """
INSERT INTO facts BY NAME
WITH drawn AS (
    SELECT i, i % 100 AS kind, (hash(i) % 1_000_000) / 1e6 AS u, hash(i + 1_000_000_000) AS h
    FROM range($first, $end) t(i)
)
SELECT
    (CASE WHEN kind < 94 THEN 1::BIGINT WHEN kind < 98 THEN 2 ELSE 3 END << 32)
        + floor($skus * u * u * u)::BIGINT AS series_no,
    $end_ms - ($facts - i) * $span_ms::BIGINT // $facts - (h % 30_000)::BIGINT AS event_time_ms,
    CASE WHEN kind < 98 THEN 1 + (h % 12)::BIGINT ELSE (h % 7)::BIGINT - 3 END::DECIMAL(18, 3) AS quantity,
    CASE WHEN kind >= 98 THEN (h % 500)::DECIMAL(18, 3) END AS book_quantity,
    1 + i // $per_batch AS batch_no, hash(i + 2_000_000_000) AS key_hash, hash(i + 3_000_000_000) AS body_hash
FROM drawn ORDER BY i
"""
_SERIES = """
INSERT INTO series BY NAME
SELECT
    series_no, $site AS site_id, ['orders', 'returns', 'cycle-counts'][series_no >> 32]::source AS source,
    'SKU-' || lpad((series_no % (1::BIGINT << 32))::VARCHAR, $digits, '0') AS sku, 'EA' AS uom,
    min(event_time_ms) AS first_ms
FROM facts GROUP BY series_no
"""
_DAYS = """
INSERT INTO fact_days BY NAME
SELECT site_id, source, event_time_ms // 86_400_000 AS day, count(*) AS facts, 0 AS body_hashes
FROM told_facts GROUP BY ALL
"""


def make_facts(
    connection: duckdb.DuckDBPyConnection,
    site: str,
    *,
    facts: int,
    skus: int,
    end_ms: int,
    span_ms: int,
    per_batch: int,
) -> None:
    """Fill a new database with facts that end at `end_ms` and go on for `span_ms`, in batches from number 1 on."""
    values = {"skus": skus, "facts": facts, "end_ms": end_ms, "span_ms": span_ms, "per_batch": per_batch}
    for first in range(0, facts, _PIECE):
        connection.execute(_FACTS, values | {"first": first, "end": min(facts, first + _PIECE)})
    sum_up(connection, site)


def sum_up(connection: duckdb.DuckDBPyConnection, site: str, digits: int = 6) -> None:
    """Give the facts' series names, and days their sums. Number n of a series is that of SKU n with so many digits."""
    connection.execute(_SERIES, {"site": site, "digits": digits})
    connection.execute(_DAYS)
