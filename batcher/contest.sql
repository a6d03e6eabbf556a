-- Bodies that meet others under their ids. `contested_rows` have come, each once, and `known` names the facts that are
-- there under their ids.

-- name: no_contenders
CREATE OR REPLACE TEMP TABLE contenders AS
SELECT *, 'orders'::source AS source, '' AS site_id, '' AS event_id, 0 AS origin, 0 AS place, 0 AS arrival FROM facts LIMIT 0;

-- name: stage_none
CREATE OR REPLACE TEMP TABLE staged AS FROM facts LIMIT 0;

-- name: stage
-- The same body again is the same fact, or has lost already.
INSERT INTO staged BY NAME
FROM contested_rows ANTI JOIN known USING (key_hash, body_hash) ANTI JOIN conflicts USING (key_hash, body_hash);

-- name: find_rivals
-- Every body that was ever seen under an id whose hash is contested. `origin` says where it stands: 0 among the facts, 1
-- among the conflicts, 2 nowhere yet.
CREATE OR REPLACE TEMP TABLE rivals AS
WITH bodies AS (
    SELECT *, 0 AS origin, rowid AS fact_row FROM facts
    WHERE rowid IN (SELECT fact_row FROM known SEMI JOIN staged USING (key_hash))
    UNION ALL BY NAME SELECT * EXCLUDE event_id, 1 AS origin FROM conflicts SEMI JOIN staged USING (key_hash)
    UNION ALL BY NAME SELECT *, 2 AS origin FROM staged
)
SELECT bodies.*, source, site_id FROM bodies JOIN series USING (series_no);

-- name: wanted_bodies
SELECT batch_no, source::VARCHAR AS source, site_id, key_hash, body_hash FROM rivals;

-- name: judge
-- The body with the lowest SHA-256 of its canonical form is the fact (`place` 1); `arrival` 1 is the one that came first.
-- The canonical form: the event's fields as compact JSON sorted by name, null where they are null, quantities with 3
-- decimals, times as UTC milliseconds. In texts `"`, `\` and control characters are escaped, as \b, \f, \n, \r, \t or
-- \u001F with capital digits, and nothing else is.
CREATE OR REPLACE TEMP TABLE contenders AS
WITH canonical AS (
    SELECT
        batch_no, key_hash, body_hash, event_id,
        sha256(CASE source
            WHEN 'orders' THEN to_json({
                channel: channel, event_id: event_id, event_time: event_time_ms, line: line, order_id: order_id,
                promo_id: promo_id, quantity: quantity::DECIMAL(18, 3), site_id: site_id, sku: sku, uom: uom
            })
            WHEN 'returns' THEN to_json({
                channel: channel, event_id: event_id, event_time: event_time_ms, line: line, order_id: order_id,
                quantity: quantity::DECIMAL(18, 3), reason: reason, return_id: return_id, site_id: site_id, sku: sku,
                uom: uom
            })
            WHEN 'cycle-counts' THEN to_json({
                book_quantity: book_quantity::DECIMAL(18, 3), count_id: count_id, event_id: event_id,
                event_time: event_time_ms, location_id: location_id, reason: reason, site_id: site_id, sku: sku,
                uom: uom, variance: variance::DECIMAL(18, 3)
            })
        END::VARCHAR) AS sha256
    FROM bodies JOIN (SELECT DISTINCT batch_no, source FROM rivals) USING (batch_no)
)
SELECT
    *,
    row_number() OVER (PARTITION BY source, site_id, event_id ORDER BY sha256) AS place,
    row_number() OVER (PARTITION BY source, site_id, event_id ORDER BY origin, batch_no, sha256) AS arrival
FROM rivals JOIN canonical USING (batch_no, key_hash, body_hash);

-- name: remove_beaten
DELETE FROM facts WHERE rowid IN (SELECT fact_row FROM contenders WHERE origin = 0 AND place > 1);

-- name: insert_winners
INSERT INTO facts BY NAME
SELECT series_no, event_time_ms, quantity, book_quantity, batch_no, key_hash, body_hash
FROM contenders WHERE origin = 2 AND place = 1;

-- name: insert_losers
INSERT INTO conflicts BY NAME
SELECT series_no, event_time_ms, quantity, book_quantity, batch_no, key_hash, body_hash, event_id
FROM contenders WHERE origin <> 1 AND place > 1;
