-- Batches, sites, until when they are complete, and offsets.

-- name: known_batches
SELECT batch_id FROM batches WHERE batch_id IN (SELECT unnest($batch_ids::VARCHAR[]));

-- name: next_batch_no
SELECT coalesce(max(batch_no), 0) + 1 FROM batches;

-- name: insert_batches
INSERT INTO batches BY NAME FROM new_batches;

-- name: insert_sites
INSERT INTO sites SELECT DISTINCT site_id, partition FROM new_batches ON CONFLICT DO NOTHING;

-- name: batches
SELECT * EXCLUDE batch_no REPLACE (source::VARCHAR AS source) FROM batches
WHERE $site_id IS NULL OR site_id = $site_id ORDER BY site_id, partition, "offset", batch_id LIMIT $row_limit;

-- name: windows
-- Windows that have batches, the latest first. Records are those of on-time batches, each of which is of one window.
WITH parts AS (SELECT kind, record_count, unnest(windows) AS span FROM batches WHERE site_id = $site_id)
SELECT
    span.start AS start_ms, span."end" AS end_ms,
    coalesce(sum(record_count) FILTER (kind <> 'correction'), 0)::BIGINT AS records,
    count(*) FILTER (kind <> 'correction') AS batches, count(*) FILTER (kind = 'correction') AS corrections
FROM parts GROUP BY span ORDER BY start_ms DESC, end_ms DESC LIMIT $row_limit;

-- name: sites
SELECT site_id, partition FROM sites ORDER BY site_id;

-- name: offsets
SELECT topic, partition, next_offset FROM offsets ORDER BY topic, partition;

-- name: set_offset
INSERT INTO offsets VALUES ($topic, $partition, $next_offset)
ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset;

-- name: topic_id
SELECT value FROM meta WHERE key = 'topic_id/' || $topic;

-- name: set_topic_id
INSERT OR REPLACE INTO meta VALUES ('topic_id/' || $topic, $topic_id);

-- name: set_complete_until
INSERT INTO complete_until VALUES ($site_id, $until_ms)
ON CONFLICT DO UPDATE SET until_ms = greatest(until_ms, excluded.until_ms);

-- name: complete_until
SELECT site_id, until_ms FROM complete_until;
