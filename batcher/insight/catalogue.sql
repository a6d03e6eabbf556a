-- The catalogue as people look through it.

-- name: batches
-- A page of the batches that are meant, those first that were loaded last.
SELECT * EXCLUDE batch_no REPLACE (source::VARCHAR AS source) FROM batches
WHERE site_id = $site_id AND ($source IS NULL OR source::VARCHAR = $source) AND ($kind IS NULL OR kind = $kind)
    AND ($search IS NULL OR contains(batch_id, $search))
ORDER BY batch_no DESC LIMIT $row_limit OFFSET $row_offset;

-- name: count_batches
SELECT count(*) FROM batches
WHERE site_id = $site_id AND ($source IS NULL OR source::VARCHAR = $source) AND ($kind IS NULL OR kind = $kind)
    AND ($search IS NULL OR contains(batch_id, $search));

-- name: batch
SELECT * EXCLUDE batch_no REPLACE (source::VARCHAR AS source) FROM batches WHERE batch_id = $batch_id;

-- name: runs_over
-- Runs that still have their results and whose horizon covers some of these instants, the latest calculation first.
FROM runs WHERE current AND site_id = $site_id AND start_ms <= $last_ms AND as_of_ms > $first_ms
ORDER BY calculated_at_ms DESC, as_of_ms DESC, horizon LIMIT $row_limit;

-- name: window_sources
-- What the latest windows of a site have by source. A correction may span windows, so its records are not theirs.
WITH named AS (
    SELECT
        source::VARCHAR AS source, kind, unnest(windows) AS named_window,
        CASE WHEN kind = 'on_time' THEN record_count ELSE 0 END AS records
    FROM batches WHERE site_id = $site_id
)
SELECT
    named_window.start AS start_ms, named_window."end" AS end_ms, source, sum(records)::BIGINT AS records,
    count(*) FILTER (kind = 'on_time') AS batches, count(*) FILTER (kind <> 'on_time') AS corrections
FROM named GROUP BY start_ms, end_ms, source
QUALIFY dense_rank() OVER (ORDER BY start_ms DESC) <= $row_limit
ORDER BY start_ms DESC, source;
