-- Facts: records of batches, each (source, site_id, event_id) once, whatever came first and however often.

-- name: define_digest_hi
CREATE OR REPLACE MACRO digest_hi_of(sha256) AS CAST('0x' || left(sha256, 16) AS UBIGINT);

-- name: define_digest_lo
CREATE OR REPLACE MACRO digest_lo_of(sha256) AS CAST('0x' || left(right(sha256, 48), 16) AS UBIGINT);

-- The canonical body: the event's fields as compact JSON sorted by name, null where they are null, quantities with 3
-- decimals, times as UTC milliseconds. In texts `"`, `\` and control characters are escaped, as \b, \f, \n, \r, \t or
-- \u001F with capital digits, and nothing else is.

-- name: stage_orders
CREATE OR REPLACE TEMP TABLE staged AS
WITH typed AS (
    SELECT
        batch_no, key_hash, 'orders'::source AS source, site_id, event_id, sku, event_time AS event_time_ms, uom,
        quantity::DECIMAL(18, 3) AS quantity, order_id, line, channel, promo_id
    FROM batch_rows
),
hashed AS (
    SELECT *, sha256(to_json({
        channel: channel, event_id: event_id, event_time: event_time_ms, line: line, order_id: order_id,
        promo_id: promo_id, quantity: quantity, site_id: site_id, sku: sku, uom: uom
    })::VARCHAR) AS sha256 FROM typed
)
SELECT * EXCLUDE sha256, digest_hi_of(sha256) AS digest_hi, digest_lo_of(sha256) AS digest_lo FROM hashed;

-- name: stage_returns
CREATE OR REPLACE TEMP TABLE staged AS
WITH typed AS (
    SELECT
        batch_no, key_hash, 'returns'::source AS source, site_id, event_id, sku, event_time AS event_time_ms, uom,
        quantity::DECIMAL(18, 3) AS quantity, order_id, line, channel, return_id, reason
    FROM batch_rows
),
hashed AS (
    SELECT *, sha256(to_json({
        channel: channel, event_id: event_id, event_time: event_time_ms, line: line, order_id: order_id,
        quantity: quantity, reason: reason, return_id: return_id, site_id: site_id, sku: sku, uom: uom
    })::VARCHAR) AS sha256 FROM typed
)
SELECT * EXCLUDE sha256, digest_hi_of(sha256) AS digest_hi, digest_lo_of(sha256) AS digest_lo FROM hashed;

-- name: stage_cycle_counts
CREATE OR REPLACE TEMP TABLE staged AS
WITH typed AS (
    SELECT
        batch_no, key_hash, 'cycle-counts'::source AS source, site_id, event_id, sku, event_time AS event_time_ms, uom,
        variance::DECIMAL(18, 3) AS variance, book_quantity::DECIMAL(18, 3) AS book_quantity,
        count_id, location_id, reason
    FROM batch_rows
),
hashed AS (
    SELECT *, sha256(to_json({
        book_quantity: book_quantity, count_id: count_id, event_id: event_id, event_time: event_time_ms,
        location_id: location_id, reason: reason, site_id: site_id, sku: sku, uom: uom, variance: variance
    })::VARCHAR) AS sha256 FROM typed
)
SELECT * EXCLUDE sha256, digest_hi_of(sha256) AS digest_hi, digest_lo_of(sha256) AS digest_lo FROM hashed;

-- name: find_known
-- Facts under the ids that have come, by the hashes of the ids.
CREATE OR REPLACE TEMP TABLE known AS
SELECT key_hash, digest_hi, digest_lo, rowid AS fact_row FROM facts SEMI JOIN staged USING (key_hash);

-- name: remove_repeated
-- The same body again is the same fact. A digest of the body, which has the id in it, says so with certainty.
DELETE FROM staged USING known
WHERE staged.key_hash = known.key_hash AND staged.digest_hi = known.digest_hi AND staged.digest_lo = known.digest_lo;

-- name: find_contested
-- Ids with several bodies, or several times the same one; all others are new facts without further ado.
CREATE OR REPLACE TEMP TABLE contested AS
SELECT key_hash FROM staged GROUP BY key_hash HAVING count(*) > 1
UNION
SELECT key_hash FROM staged SEMI JOIN known USING (key_hash);

-- name: insert_uncontested
INSERT INTO facts BY NAME FROM staged ANTI JOIN contested USING (key_hash);

-- name: find_contenders
-- Every body that was ever seen under a contested id, once. `origin` says where it stands: 0 among the facts, 1 among the
-- conflicts, 2 nowhere yet. The lowest digest is the fact (`place` 1); `arrival` 1 is the body that came first.
CREATE OR REPLACE TEMP TABLE contenders AS
WITH bodies AS (
    SELECT *, 0 AS origin, rowid AS fact_row FROM facts
    WHERE rowid IN (SELECT fact_row FROM known SEMI JOIN contested USING (key_hash))
    UNION ALL BY NAME SELECT *, 1 AS origin FROM conflicts SEMI JOIN contested USING (key_hash)
    UNION ALL BY NAME SELECT *, 2 AS origin FROM staged SEMI JOIN contested USING (key_hash)
),
distinct_bodies AS (
    FROM bodies
    QUALIFY row_number() OVER (
        PARTITION BY source, site_id, event_id, digest_hi, digest_lo ORDER BY origin, batch_no
    ) = 1
)
SELECT
    *,
    row_number() OVER (PARTITION BY source, site_id, event_id ORDER BY digest_hi, digest_lo) AS place,
    row_number() OVER (
        PARTITION BY source, site_id, event_id ORDER BY origin, batch_no, digest_hi, digest_lo
    ) AS arrival
FROM distinct_bodies;

-- name: remove_beaten
DELETE FROM facts WHERE rowid IN (SELECT fact_row FROM contenders WHERE origin = 0 AND place > 1);

-- name: insert_winners
INSERT INTO facts BY NAME
SELECT * EXCLUDE (origin, fact_row, place, arrival) FROM contenders WHERE origin = 2 AND place = 1;

-- name: insert_losers
INSERT INTO conflicts BY NAME
SELECT * EXCLUDE (origin, fact_row, place, arrival) FROM contenders WHERE origin <> 1 AND place > 1;

-- name: count_days
-- The sums of each day, with what was added and without what was removed.
INSERT INTO fact_days
WITH changes AS (
    SELECT
        site_id, source, event_time_ms // 86400000 AS day,
        count(*) AS facts, sum(digest_hi) AS digest_hi, sum(digest_lo) AS digest_lo
    FROM staged ANTI JOIN contested USING (key_hash) GROUP BY site_id, source, day
    UNION ALL
    SELECT site_id, source, event_time_ms // 86400000 AS day, 1, digest_hi, digest_lo
    FROM contenders WHERE origin = 2 AND place = 1
    UNION ALL
    SELECT site_id, source, event_time_ms // 86400000 AS day, -1, -digest_hi::HUGEINT, -digest_lo::HUGEINT
    FROM contenders WHERE origin = 0 AND place > 1
)
SELECT site_id, source, day, sum(facts), sum(digest_hi), sum(digest_lo) FROM changes GROUP BY site_id, source, day
ON CONFLICT DO UPDATE SET
    facts = facts + excluded.facts,
    digest_hi = digest_hi + excluded.digest_hi,
    digest_lo = digest_lo + excluded.digest_lo;

-- name: find_earlier
CREATE OR REPLACE TEMP TABLE earlier AS
WITH added AS (
    SELECT site_id, sku, uom, event_time_ms FROM staged ANTI JOIN contested USING (key_hash)
    UNION ALL SELECT site_id, sku, uom, event_time_ms FROM contenders WHERE origin = 2 AND place = 1
),
firsts AS (SELECT site_id, sku, uom, min(event_time_ms) AS event_time_ms FROM added GROUP BY site_id, sku, uom)
FROM firsts ANTI JOIN first_facts AS known
    ON firsts.site_id = known.site_id AND firsts.sku = known.sku AND firsts.uom = known.uom
    AND known.event_time_ms <= firsts.event_time_ms;

-- name: remove_later
DELETE FROM first_facts AS known USING earlier
WHERE known.site_id = earlier.site_id AND known.sku = earlier.sku AND known.uom = earlier.uom;

-- name: insert_earlier
INSERT INTO first_facts FROM earlier;

-- name: find_bereft
-- Where a fact was removed that had been the first: which one is it now?
CREATE OR REPLACE TEMP TABLE bereft AS
SELECT DISTINCT site_id, sku, uom FROM contenders JOIN first_facts USING (site_id, sku, uom, event_time_ms)
WHERE origin = 0 AND place > 1;

-- name: remove_bereft
DELETE FROM first_facts AS known USING bereft
WHERE known.site_id = bereft.site_id AND known.sku = bereft.sku AND known.uom = bereft.uom;

-- name: insert_heirs
INSERT INTO first_facts SELECT site_id, sku, uom, min(event_time_ms)
FROM facts SEMI JOIN bereft USING (site_id, sku, uom) GROUP BY site_id, sku, uom;

-- name: outcomes
-- Per batch: new facts, further bodies of known ids, and the earliest event time at which anything changed: that of a new
-- fact, of a body that now counts, or of the one that no longer does.
WITH changes AS (
    SELECT batch_no, 1 AS facts_new, 0 AS conflicts, event_time_ms FROM staged ANTI JOIN contested USING (key_hash)
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
SELECT batch_no, count(*) FROM converted('facts', $require_known_items)
WHERE batch_no >= $first_batch_no AND base_units IS NULL GROUP BY batch_no;

-- name: held
SELECT
    source::VARCHAR AS source, site_id, event_id, sku, event_time_ms, uom, coalesce(quantity, variance) AS quantity,
    CASE
        WHEN sku NOT IN (SELECT sku FROM items) THEN 'item is not listed'
        WHEN (sku, uom) NOT IN (SELECT (sku, uom) FROM items) THEN 'item has no row for this unit'
        ELSE 'unit is not valid yet'
    END AS reason
FROM converted('facts', $require_known_items)
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
ORDER BY lost.site_id, lost.source, lost.event_id, lost.digest_hi, lost.digest_lo
LIMIT $row_limit;

-- name: first_event_time
SELECT min(event_time_ms) FROM first_facts WHERE site_id = $site_id;

-- name: statistics
WITH lost AS (SELECT site_id, source, count(*) AS conflicts FROM conflicts GROUP BY site_id, source),
counted AS (
    SELECT
        site_id, source, count(*) AS facts, count(*) FILTER (base_units IS NULL) AS held,
        min(event_time_ms) AS min_event_time_ms, max(event_time_ms) AS max_event_time_ms
    FROM converted('facts', $require_known_items) GROUP BY site_id, source
)
SELECT
    site_id, source::VARCHAR AS source, facts, held, coalesce(conflicts, 0) AS conflicts,
    min_event_time_ms, max_event_time_ms
FROM counted LEFT JOIN lost USING (site_id, source) ORDER BY site_id, counted.source;
