-- name: held_bytes
-- BASE_TABLE, METADATA and ART_INDEX are pages of the file, which DuckDB drops when it needs their room.
SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT
FROM duckdb_memory()
WHERE tag NOT IN ('BASE_TABLE', 'METADATA', 'ART_INDEX')
