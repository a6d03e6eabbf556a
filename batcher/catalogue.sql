-- Batches, sites, complete windows and offsets.

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
WHERE ($site_id IS NULL OR site_id = $site_id) AND ($batch_id IS NULL OR batch_id = $batch_id)
ORDER BY site_id, partition, "offset", batch_id LIMIT $row_limit;

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

-- name: set_complete
INSERT INTO complete_windows SELECT $site_id, unnest($starts::BIGINT[]), unnest($ends::BIGINT[]) ON CONFLICT DO NOTHING;

-- name: complete_windows
SELECT start_ms, end_ms FROM complete_windows
WHERE site_id = $site_id AND end_ms > $start_ms AND start_ms < $end_ms ORDER BY start_ms, end_ms;

-- name: count_complete
SELECT count(*) FROM complete_windows WHERE site_id = $site_id;

-- name: complete_span
SELECT min(start_ms), max(end_ms) FROM complete_windows WHERE site_id = $site_id;

-- name: make_mark
INSERT INTO meta VALUES ('mark', $mark) ON CONFLICT DO NOTHING;

-- name: mark
SELECT value FROM meta WHERE key = 'mark';
