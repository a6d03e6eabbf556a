-- What calculations need of all history, kept up with the facts: `fact_days` and `first_facts` are at every commit what
-- their definitions in schema.sql give for the facts of that moment.

-- name: name_changes
-- What an insertion has changed: facts that came (`sign` 1), and facts that count no longer (-1).
CREATE OR REPLACE TEMP VIEW changed_facts AS
SELECT 1 AS sign, site_id, source::source AS source, sku, uom, event_time_ms, body_hash FROM fresh_rows
UNION ALL
SELECT CASE WHEN origin = 2 THEN 1 ELSE -1 END, site_id, source, sku, uom, event_time_ms, body_hash
FROM contenders WHERE (origin = 2 AND place = 1) OR (origin = 0 AND place > 1);

-- name: add_to_days
MERGE INTO fact_days USING (
    SELECT
        site_id, source, event_time_ms // 86_400_000 AS day, sum(sign) AS facts,
        sum(sign * body_hash::HUGEINT) AS body_hashes
    FROM changed_facts GROUP BY ALL
) AS change ON fact_days.site_id = change.site_id AND fact_days.source = change.source AND fact_days.day = change.day
WHEN MATCHED THEN UPDATE SET
    facts = fact_days.facts + change.facts, body_hashes = fact_days.body_hashes + change.body_hashes
WHEN NOT MATCHED THEN INSERT BY NAME;

-- name: remove_empty_days
DELETE FROM fact_days WHERE facts = 0;

-- name: add_to_firsts
MERGE INTO first_facts USING (
    SELECT site_id, sku, uom, min(event_time_ms) AS event_time_ms FROM changed_facts WHERE sign > 0 GROUP BY ALL
) AS came ON first_facts.site_id = came.site_id AND first_facts.sku = came.sku AND first_facts.uom = came.uom
WHEN MATCHED AND came.event_time_ms < first_facts.event_time_ms THEN UPDATE SET event_time_ms = came.event_time_ms
WHEN NOT MATCHED THEN INSERT BY NAME;

-- name: find_lost_firsts
-- A body that counts no longer was the first of its unit. That is rare: only then is history read again.
CREATE OR REPLACE TEMP TABLE lost_firsts AS
SELECT DISTINCT site_id, sku, uom
FROM changed_facts SEMI JOIN first_facts USING (site_id, sku, uom, event_time_ms) WHERE sign < 0;

-- name: remove_lost_firsts
DELETE FROM first_facts USING lost_firsts AS lost
WHERE first_facts.site_id = lost.site_id AND first_facts.sku = lost.sku AND first_facts.uom = lost.uom;

-- name: find_firsts_again
INSERT INTO first_facts
SELECT site_id, sku, uom, min(event_time_ms) FROM facts SEMI JOIN lost_firsts USING (site_id, sku, uom) GROUP BY ALL;

-- name: dataset
-- The site's facts before an instant, per source: how many, and the sum of their hashes. Whole days are taken as they
-- are; of `day`, the one that the instant falls into, the facts between its start and the instant are read.
WITH sums AS (
    SELECT source, facts, body_hashes FROM fact_days WHERE site_id = $site_id AND day < $day
    UNION ALL
    SELECT source, count(*), sum(body_hash) FROM facts
    WHERE site_id = $site_id AND event_time_ms >= $day_start_ms AND event_time_ms < $as_of_ms GROUP BY source
)
SELECT source::VARCHAR, sum(facts)::BIGINT, sum(body_hashes)::VARCHAR
FROM sums GROUP BY source ORDER BY source::VARCHAR;

-- name: first_event_time
SELECT min(event_time_ms) FROM first_facts WHERE site_id = $site_id;
