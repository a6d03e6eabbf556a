-- What sinks have of the results, what is on its way to them, and how each chunk of it stands.
-- A target is a sink, a site and a horizon. Progress is that of `delivery/chunks.py`.

-- name: define_deliverable
-- Results as sinks are told them: a line for each column of `schemas.delivery.DeliveredRow`.
CREATE OR REPLACE VIEW deliverable AS
SELECT run_id, sku, content, md5_number(content) AS content_hash FROM (
    SELECT run_id, sku, to_json({
        sku: sku,
        order_lines: order_lines,
        units_ordered: units_ordered::DOUBLE,
        units_returned: units_returned::DOUBLE,
        net_units: net_units::DOUBLE,
        lines_per_day: lines_per_day,
        units_per_day: units_per_day,
        normalized_lines: normalized_lines::DOUBLE,
        velocity_coefficient: velocity_coefficient,
        abc_class: abc_class,
        demand_cv: demand_cv,
        xyz_class: xyz_class,
        variance_units: variance_units::DOUBLE,
        inventory_accuracy: inventory_accuracy,
        first_seen: rfc3339(first_seen_ms),
        provisional: provisional,
        forward_lines: forward_lines::DOUBLE,
        stable_class: stable_class,
        count_accuracy: count_accuracy
    })::VARCHAR AS content
    FROM results
);

-- name: published
-- The newest published runs of sites, as far as their results are there.
SELECT p.site_id, p.horizon, p.run_id, p.as_of_ms, r.calculated_at_ms
FROM published_runs p JOIN runs r USING (run_id)
WHERE r.current AND list_contains($site_ids::VARCHAR[], p.site_id)
ORDER BY p.site_id, p.horizon;

-- name: planned
-- The last delivery of a target that was planned, and how many chunks of it there are.
SELECT run_id, as_of_ms, base, planned_at_ms, (
    SELECT count(*) FROM delivery_chunks c
    WHERE c.sink = d.sink AND c.site_id = d.site_id AND c.horizon = d.horizon
)
FROM deliveries d WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon;

-- name: acknowledged_run
SELECT run_id, as_of_ms, acknowledged_at_ms FROM sink_runs
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon;

-- name: forget_told
-- SKUs of chunks that may have been sent: `remember_told` says anew what is known of them.
DELETE FROM sink_rows
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND sku IN (
    SELECT sku FROM delivery_rows JOIN delivery_chunks USING (sink, site_id, horizon, number)
    WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND progress <> 'pending'
);

-- name: remember_told
INSERT INTO sink_rows BY NAME
SELECT sink, site_id, horizon, sku, CASE WHEN progress = 'acknowledged' THEN content_hash END AS content_hash
FROM delivery_rows JOIN delivery_chunks USING (sink, site_id, horizon, number)
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND progress <> 'pending'
    AND (progress <> 'acknowledged' OR content_hash IS NOT NULL);

-- name: remember_untold
-- Where nothing was acknowledged in full, SKUs that were never sent bound the ranges that the next delivery covers.
INSERT INTO sink_rows BY NAME
SELECT sink, site_id, horizon, sku, NULL AS content_hash
FROM delivery_rows JOIN delivery_chunks USING (sink, site_id, horizon, number)
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND progress = 'pending'
    AND NOT EXISTS (FROM sink_runs WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon)
    AND sku NOT IN (SELECT sku FROM sink_rows WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon);

-- name: remove_rows
DELETE FROM delivery_rows WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon;

-- name: remove_chunks
DELETE FROM delivery_chunks WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon;

-- name: find_delta
-- Rows that the sink has otherwise, or perhaps; those that it has and the run has not go with a null `content`.
-- Rows of the same `stretch` follow upon each other; `before` is the SKU before a row, whether it is sent or not.
CREATE OR REPLACE TEMP TABLE delta AS
WITH wanted AS (SELECT sku, content, content_hash FROM deliverable WHERE run_id = $run_id),
known AS (SELECT sku, content_hash FROM sink_rows WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon),
compared AS (
    SELECT
        sku, wanted.content, wanted.content_hash, known.content_hash AS known_hash,
        row_number() OVER in_order AS place, lag(sku) OVER in_order AS before, lead(sku) OVER in_order IS NULL AS is_last
    FROM wanted FULL JOIN known USING (sku)
    WINDOW in_order AS (ORDER BY sku)
)
SELECT
    sku, content, content_hash, before, is_last,
    place - row_number() OVER (ORDER BY sku) AS stretch,
    ((row_number() OVER (ORDER BY sku) - 1) // $chunk_skus + 1)::INTEGER AS number
FROM compared WHERE $full OR known_hash IS NULL OR content_hash IS DISTINCT FROM known_hash;

-- name: delta_size
SELECT count(*) FROM delta;

-- name: delta_chunks
-- Each with the ranges that it covers: from the SKU before a stretch up to its last one, and to the end at the end.
WITH stretches AS (
    SELECT
        number, list(content ORDER BY sku) FILTER (content IS NOT NULL) AS contents,
        list(sku ORDER BY sku) FILTER (content IS NULL) AS removed, min(sku) AS first_sku,
        {'after': first(before ORDER BY sku), 'until': CASE WHEN NOT bool_or(is_last) THEN max(sku) END} AS bounds
    FROM delta WHERE number >= $first AND number < $after GROUP BY number, stretch
)
SELECT
    number, flatten(coalesce(list(contents ORDER BY first_sku) FILTER (contents IS NOT NULL), [])) AS contents,
    flatten(coalesce(list(removed ORDER BY first_sku) FILTER (removed IS NOT NULL), [])) AS removed,
    list(bounds ORDER BY first_sku) AS ranges
FROM stretches GROUP BY number ORDER BY number;

-- name: freeze_rows
INSERT INTO delivery_rows BY NAME
SELECT $sink AS sink, $site_id AS site_id, $horizon AS horizon, number, sku, content_hash FROM delta;

-- name: freeze_chunks
INSERT INTO delivery_chunks BY NAME
SELECT
    $sink AS sink, $site_id AS site_id, $horizon AS horizon, *, 'pending' AS progress, 0 AS attempts FROM frozen_chunks;

-- name: forget_planned
DELETE FROM deliveries WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon;

-- name: set_planned
INSERT INTO deliveries BY NAME
SELECT
    $sink AS sink, $site_id AS site_id, $horizon AS horizon, $run_id AS run_id, $as_of_ms AS as_of_ms,
    $base AS base, $planned_at_ms AS planned_at_ms;

-- name: unsettled
-- Chunks that there is something to do with, in the order of their SKUs.
SELECT number, key, rows, removed, progress, attempts FROM delivery_chunks
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND progress IN ('pending', 'sending', 'dropped')
ORDER BY number;

-- name: body
SELECT body FROM delivery_chunks
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND number = $number AND key = $key;

-- name: move
UPDATE delivery_chunks SET progress = $progress, attempts = $attempts, error = $error
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND number = $number AND key = $key;

-- name: unacknowledged
SELECT count(*) FROM delivery_chunks
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND progress <> 'acknowledged';

-- name: forget_acknowledged
DELETE FROM sink_runs WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon;

-- name: set_acknowledged
INSERT INTO sink_runs BY NAME
SELECT
    $sink AS sink, $site_id AS site_id, $horizon AS horizon, $run_id AS run_id, $as_of_ms AS as_of_ms,
    $now_ms AS acknowledged_at_ms;

-- name: chunk_skus
SELECT sku FROM delivery_rows
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND number = $number ORDER BY sku;

-- name: chunk_named
SELECT sink, site_id, horizon, number, key, rows, removed, progress, attempts FROM delivery_chunks WHERE key = $chunk_id;

-- name: dropped_keys
SELECT key FROM delivery_chunks WHERE sink = $sink AND progress = 'dropped';

-- name: doubt_sites
-- Somebody else may have delivered in the meantime: nothing is known of what sinks have of these sites.
UPDATE sink_rows SET content_hash = NULL WHERE list_contains($site_ids::VARCHAR[], site_id);

-- name: forget_runs_of_sites
DELETE FROM sink_runs WHERE list_contains($site_ids::VARCHAR[], site_id);

-- name: doubt_chunks_of_sites
UPDATE delivery_chunks SET progress = 'sending'
WHERE progress = 'acknowledged' AND list_contains($site_ids::VARCHAR[], site_id);

-- name: forget_plans_of_sites
UPDATE deliveries SET run_id = '' WHERE list_contains($site_ids::VARCHAR[], site_id);

-- name: stop
INSERT OR REPLACE INTO stopped_sinks VALUES ($sink, $reason, $now_ms);

-- name: resume
DELETE FROM stopped_sinks WHERE sink = $sink RETURNING sink;

-- name: stopped
SELECT sink, reason, stopped_at_ms FROM stopped_sinks ORDER BY sink;

-- name: states
-- Chunks and SKUs of deliveries in hand, by how they stand.
SELECT sink, site_id, horizon, progress, count(*), sum(rows + removed)::BIGINT FROM delivery_chunks GROUP BY ALL ORDER BY ALL;

-- name: all_acknowledged
SELECT sink, site_id, horizon, run_id, as_of_ms, acknowledged_at_ms FROM sink_runs ORDER BY ALL;

-- name: all_planned
SELECT sink, site_id, horizon, run_id, as_of_ms, base, planned_at_ms FROM deliveries ORDER BY ALL;

-- name: errors
-- The last error of each target that has one.
SELECT sink, site_id, horizon, max_by(error, number) FROM delivery_chunks WHERE error IS NOT NULL GROUP BY ALL ORDER BY ALL;

-- name: forget_failed
DELETE FROM failed_deliveries WHERE chunk_id = $chunk_id;

-- name: set_failed
INSERT INTO failed_deliveries VALUES ($chunk_id, $sink, $site_id, $horizon, $record, $settled, false);

-- name: failed_of
SELECT record FROM failed_deliveries
WHERE sink = $sink AND site_id = $site_id AND horizon = $horizon AND NOT settled ORDER BY chunk_id;

-- name: failed_named
SELECT record FROM failed_deliveries WHERE chunk_id = $chunk_id AND NOT settled;

-- name: failed_counts
SELECT sink, count(*) FROM failed_deliveries WHERE NOT settled GROUP BY sink ORDER BY sink;

-- name: untold
SELECT record FROM failed_deliveries WHERE NOT told ORDER BY chunk_id LIMIT 100;

-- name: set_told
UPDATE failed_deliveries SET told = true WHERE chunk_id = $chunk_id AND record = $record;

-- name: forget_settled
DELETE FROM failed_deliveries WHERE settled AND told;
