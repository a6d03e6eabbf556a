-- Facts: records of batches, each (source, site_id, event_id) once, whatever came first and however often.
-- `fresh_rows` have ids that never came before and stand there once: they are facts without further ado. `contested_rows`
-- are all others, and `known` names the facts that are there under their ids.

-- name: insert_fresh
INSERT INTO facts BY NAME FROM fresh_rows;

-- name: stage_none
CREATE OR REPLACE TEMP TABLE staged AS FROM facts LIMIT 0;

-- name: stage_contested
INSERT INTO staged BY NAME FROM contested_rows;

-- name: remove_repeated
-- The same body again is the same fact.
DELETE FROM staged USING known WHERE staged.key_hash = known.key_hash AND staged.body_hash = known.body_hash;

-- name: find_contenders
-- Every body that was ever seen under a contested id, once. `origin` says where it stands: 0 among the facts, 1 among the
-- conflicts, 2 nowhere yet. The one with the lowest SHA-256 of its canonical body is the fact (`place` 1); `arrival` 1 is
-- the one that came first.
-- The canonical body: the event's fields as compact JSON sorted by name, null where they are null, quantities with 3
-- decimals, times as UTC milliseconds. In texts `"`, `\` and control characters are escaped, as \b, \f, \n, \r, \t or
-- \u001F with capital digits, and nothing else is.
CREATE OR REPLACE TEMP TABLE contenders AS
WITH bodies AS (
    SELECT *, 0 AS origin, rowid AS fact_row FROM facts
    WHERE rowid IN (SELECT fact_row FROM known SEMI JOIN staged USING (key_hash))
    UNION ALL BY NAME SELECT *, 1 AS origin FROM conflicts SEMI JOIN staged USING (key_hash)
    UNION ALL BY NAME SELECT *, 2 AS origin FROM staged
),
distinct_bodies AS (
    SELECT
        *,
        sha256(CASE source
            WHEN 'orders' THEN to_json({
                channel: channel, event_id: event_id, event_time: event_time_ms, line: line, order_id: order_id,
                promo_id: promo_id, quantity: quantity, site_id: site_id, sku: sku, uom: uom
            })
            WHEN 'returns' THEN to_json({
                channel: channel, event_id: event_id, event_time: event_time_ms, line: line, order_id: order_id,
                quantity: quantity, reason: reason, return_id: return_id, site_id: site_id, sku: sku, uom: uom
            })
            WHEN 'cycle-counts' THEN to_json({
                book_quantity: book_quantity, count_id: count_id, event_id: event_id, event_time: event_time_ms,
                location_id: location_id, reason: reason, site_id: site_id, sku: sku, uom: uom, variance: variance
            })
        END::VARCHAR) AS sha256
    FROM bodies
    QUALIFY row_number() OVER (
        PARTITION BY source, site_id, event_id, body_hash ORDER BY origin, batch_no
    ) = 1
)
SELECT
    *,
    row_number() OVER (PARTITION BY source, site_id, event_id ORDER BY sha256) AS place,
    row_number() OVER (PARTITION BY source, site_id, event_id ORDER BY origin, batch_no, sha256) AS arrival
FROM distinct_bodies;

-- name: remove_beaten
DELETE FROM facts WHERE rowid IN (SELECT fact_row FROM contenders WHERE origin = 0 AND place > 1);

-- name: insert_winners
INSERT INTO facts BY NAME
SELECT * EXCLUDE (origin, fact_row, sha256, place, arrival) FROM contenders WHERE origin = 2 AND place = 1;

-- name: insert_losers
INSERT INTO conflicts BY NAME
SELECT * EXCLUDE (origin, fact_row, sha256, place, arrival) FROM contenders WHERE origin <> 1 AND place > 1;

-- name: outcomes
-- Per batch: new facts, further bodies of known ids, and the earliest event time at which anything changed: that of a new
-- fact, of a body that now counts, or of the one that no longer does.
WITH changes AS (
    SELECT batch_no, 1 AS facts_new, 0 AS conflicts, event_time_ms FROM fresh_rows
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
    source::VARCHAR AS source, site_id, event_id, sku, event_time_ms, uom, coalesce(quantity, variance) AS quantity,
    CASE
        WHEN sku NOT IN (SELECT sku FROM items) THEN 'item is not listed'
        WHEN (sku, uom) NOT IN (SELECT (sku, uom) FROM items) THEN 'item has no row for this unit'
        ELSE 'unit is not valid yet'
    END AS reason
FROM converted_facts($require_known_items)
WHERE base_units IS NULL AND ($site_id IS NULL OR site_id = $site_id)
ORDER BY site_id, event_time_ms, source, event_id
LIMIT $row_limit;

-- name: conflicts
-- Bodies that do not count beside the one that does, one row for each.
SELECT
    lost.source::VARCHAR AS source, lost.site_id, lost.event_id,
    counted.sku AS counted_sku, counted.event_time_ms AS counted_event_time_ms, counted.uom AS counted_uom,
    coalesce(counted.quantity, counted.variance) AS counted_quantity, counted_batch.batch_id AS counted_batch_id,
    lost.sku, lost.event_time_ms, lost.uom, coalesce(lost.quantity, lost.variance) AS quantity, lost_batch.batch_id
FROM conflicts AS lost
JOIN facts AS counted USING (key_hash, source, site_id, event_id)
JOIN batches AS lost_batch ON lost_batch.batch_no = lost.batch_no
JOIN batches AS counted_batch ON counted_batch.batch_no = counted.batch_no
WHERE $site_id IS NULL OR lost.site_id = $site_id
ORDER BY lost.site_id, lost.source, lost.event_id, lost.body_hash
LIMIT $row_limit;

-- name: statistics
WITH lost AS (SELECT site_id, source, count(*) AS conflicts FROM conflicts GROUP BY site_id, source),
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
