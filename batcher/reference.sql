-- Reference data. {table} is items, promotions, channels or seasons; new_rows has its columns.

-- name: find_changed
CREATE OR REPLACE TEMP TABLE changed_rows AS FROM new_rows EXCEPT FROM {table};

-- name: replace_changed
INSERT OR REPLACE INTO {table} FROM changed_rows;

-- name: count_changed
SELECT count(*) FROM changed_rows;

-- name: changed_skus
SELECT DISTINCT sku FROM changed_rows;

-- name: content_hash
-- Of all rows as they stand, in whatever order they came.
WITH content AS (
    SELECT to_json(items)::VARCHAR AS row FROM items
    UNION ALL SELECT to_json(promotions)::VARCHAR FROM promotions
    UNION ALL SELECT to_json(channels)::VARCHAR FROM channels
    UNION ALL SELECT to_json(seasons)::VARCHAR FROM seasons
)
SELECT sha256(coalesce(string_agg(row, chr(10) ORDER BY row), '')) FROM content;

-- name: store_hash
INSERT OR REPLACE INTO meta VALUES ('reference_hash', $hash);

-- name: stored_hash
SELECT value FROM meta WHERE key = 'reference_hash';
