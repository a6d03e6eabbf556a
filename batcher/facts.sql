-- Facts: records of batches, each (source, site_id, event_id) once, whatever came first and however often.
-- `fresh_rows` have ids that never came before: they are facts without further ado, and `fresh_batches` what they come to.
-- What became of others is in `contenders`, see contest.sql.

-- name: insert_fresh
INSERT INTO facts BY NAME FROM fresh_rows;

-- name: outcomes
-- Per batch: new facts, further bodies of known ids, and the earliest event time at which anything changed: that of a new
-- fact, of a body that now counts, or of the one that no longer does.
WITH changes AS (
    SELECT batch_no, facts_new, 0 AS conflicts, min_event_time_ms AS event_time_ms FROM fresh_batches
    UNION ALL
    SELECT batch_no, (arrival = 1)::INTEGER, (arrival > 1)::INTEGER, CASE WHEN place = 1 THEN event_time_ms END
    FROM contenders WHERE origin = 2
    UNION ALL
    SELECT winners.batch_no, 0, 0, beaten.event_time_ms
    FROM contenders AS winners JOIN contenders AS beaten USING (source, site_id, event_id)
    WHERE winners.origin = 2 AND winners.place = 1 AND beaten.origin = 0
)
SELECT
    batch_no, sum(facts_new)::BIGINT AS facts_new, sum(conflicts)::BIGINT AS conflicts,
    min(event_time_ms) AS min_event_time_ms
FROM changes GROUP BY batch_no;

-- name: held_by_batch
SELECT batch_no, count(*) FROM converted_facts($require_known_items)
WHERE batch_no >= $first_batch_no AND base_units IS NULL GROUP BY batch_no;

-- name: held
SELECT
    batch_no, record_count, key_hash, body_hash, facts.source::VARCHAR AS source, facts.site_id, sku, event_time_ms, uom,
    quantity,
    CASE
        WHEN sku NOT IN (SELECT sku FROM items) THEN 'item is not listed'
        WHEN (sku, uom) NOT IN (SELECT (sku, uom) FROM items) THEN 'item has no row for this unit'
        ELSE 'unit is not valid yet'
    END AS reason
FROM converted_facts($require_known_items) AS facts JOIN batches USING (batch_no)
WHERE base_units IS NULL AND ($site_id IS NULL OR facts.site_id = $site_id)
ORDER BY facts.site_id, event_time_ms, facts.source, key_hash, body_hash
LIMIT $row_limit;

-- name: name_held
SELECT
    held_rows.source, held_rows.site_id, event_id, held_rows.sku, held_rows.event_time_ms, held_rows.uom,
    held_rows.quantity, held_rows.reason
FROM held_rows LEFT JOIN bodies USING (batch_no, key_hash, body_hash)
ORDER BY held_rows.site_id, held_rows.event_time_ms, held_rows.source, event_id;

-- name: define_listed_conflicts
-- The first bodies that do not count, and the facts whose ids have the same hashes.
CREATE OR REPLACE MACRO listed_conflicts(of_site, row_limit) AS TABLE
WITH lost AS (
    FROM conflicts JOIN series USING (series_no) WHERE of_site IS NULL OR site_id = of_site
    ORDER BY site_id, source, event_id, body_hash LIMIT row_limit
)
SELECT
    lost, counted, count(*) OVER (PARTITION BY lost.batch_no, lost.key_hash, lost.body_hash) > 1 AS is_ambiguous
FROM lost JOIN told_facts AS counted USING (key_hash, source, site_id);

-- name: ambiguous
SELECT DISTINCT
    counted.batch_no, counted.source::VARCHAR AS source, counted.site_id, counted.key_hash, counted.body_hash
FROM listed_conflicts($site_id, $row_limit) WHERE is_ambiguous;

-- name: conflicts
-- Bodies that do not count beside the one that does, one row for each.
SELECT
    lost.source::VARCHAR AS source, lost.site_id, lost.event_id,
    counted.sku AS counted_sku, counted.event_time_ms AS counted_event_time_ms, counted.uom AS counted_uom,
    counted.quantity AS counted_quantity, counted_batch.batch_id AS counted_batch_id,
    lost.sku, lost.event_time_ms, lost.uom, lost.quantity, lost_batch.batch_id
FROM listed_conflicts($site_id, $row_limit) AS listed
JOIN batches AS lost_batch ON lost_batch.batch_no = lost.batch_no
JOIN batches AS counted_batch ON counted_batch.batch_no = counted.batch_no
LEFT JOIN bodies
    ON is_ambiguous AND bodies.batch_no = counted.batch_no AND bodies.key_hash = counted.key_hash
    AND bodies.body_hash = counted.body_hash
WHERE NOT is_ambiguous OR bodies.event_id = lost.event_id
ORDER BY lost.site_id, lost.source, lost.event_id, lost.body_hash;

-- name: statistics
WITH lost AS (
    SELECT site_id, source, count(*) AS conflicts FROM conflicts JOIN series USING (series_no) GROUP BY site_id, source
),
counted AS (
    SELECT
        site_id, source, count(*) AS facts, count(*) FILTER (base_units IS NULL) AS held,
        min(event_time_ms) AS min_event_time_ms, max(event_time_ms) AS max_event_time_ms
    FROM converted_facts($require_known_items) GROUP BY site_id, source
)
SELECT
    site_id, source::VARCHAR AS source, facts, held, coalesce(conflicts, 0) AS conflicts,
    min_event_time_ms, max_event_time_ms
FROM counted LEFT JOIN lost USING (site_id, source) ORDER BY site_id, counted.source;
