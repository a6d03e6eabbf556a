-- What calculations need of all history, kept up with the facts: `fact_days`, and `first_ms` of each series, are at every
-- commit what their definitions in schema.sql give for the facts of that moment.

-- What an insertion has changed are the fresh facts, whose sums come as `fresh_days` and `fresh_firsts`, and contenders (see
-- contest.sql): bodies that count now, and bodies that count no longer.

-- name: define_utc_day
-- The UTC day of an instant, from 1970-01-01; before it days are negative, and begin at midnight, too.
CREATE OR REPLACE MACRO utc_day(at_ms) AS (at_ms - (at_ms % 86_400_000 + 86_400_000) % 86_400_000) // 86_400_000;

-- name: name_changes
-- Contenders that came (`sign` 1), and those that count no longer (-1).
CREATE OR REPLACE TEMP VIEW changed_facts AS
SELECT CASE WHEN origin = 2 THEN 1 ELSE -1 END AS sign, series_no, event_time_ms, body_hash
FROM contenders WHERE (origin = 2 AND place = 1) OR (origin = 0 AND place > 1);

-- name: add_to_days
MERGE INTO fact_days USING (
    WITH changes AS (
        SELECT series_no, day, facts, hashes_high::HUGEINT * 4_294_967_296 + hashes_low AS body_hashes FROM fresh_days
        UNION ALL
        SELECT series_no, utc_day(event_time_ms), sign, sign * body_hash::HUGEINT FROM changed_facts
    )
    SELECT site_id, source, day, sum(facts) AS facts, sum(body_hashes) AS body_hashes
    FROM changes JOIN series USING (series_no) GROUP BY site_id, source, day
) AS change ON fact_days.site_id = change.site_id AND fact_days.source = change.source AND fact_days.day = change.day
WHEN MATCHED THEN UPDATE SET
    facts = fact_days.facts + change.facts, body_hashes = fact_days.body_hashes + change.body_hashes
WHEN NOT MATCHED THEN INSERT BY NAME;

-- name: remove_empty_days
DELETE FROM fact_days WHERE facts = 0;

-- name: bring_firsts_forward
UPDATE series SET first_ms = came.first_ms
FROM (
    SELECT series_no, min(first_ms) AS first_ms FROM (
        FROM fresh_firsts UNION ALL SELECT series_no, event_time_ms FROM changed_facts WHERE sign > 0
    ) GROUP BY series_no
) AS came
WHERE series.series_no = came.series_no AND came.first_ms < coalesce(series.first_ms, 9223372036854775807);

-- name: find_lost_firsts
-- A body that counts no longer was the first of its series. That is rare: only then is history read again.
CREATE OR REPLACE TEMP TABLE lost_firsts AS
SELECT DISTINCT series_no FROM changed_facts JOIN series USING (series_no)
WHERE sign < 0 AND event_time_ms = first_ms;

-- name: forget_lost_firsts
UPDATE series SET first_ms = NULL FROM lost_firsts AS lost WHERE series.series_no = lost.series_no;

-- name: find_firsts_again
UPDATE series SET first_ms = again.first_ms
FROM (
    SELECT series_no, min(event_time_ms) AS first_ms FROM facts SEMI JOIN lost_firsts USING (series_no)
    GROUP BY series_no
) AS again
WHERE series.series_no = again.series_no;

-- name: dataset
-- The site's facts before an instant, per source: how many, and the sum of their hashes. Whole days are taken as they
-- are; of `day`, the one that the instant falls into, the facts between its start and the instant are read.
WITH sums AS (
    SELECT source, facts, body_hashes FROM fact_days WHERE site_id = $site_id AND day < $day
    UNION ALL
    SELECT source, count(*), sum(body_hash) FROM told_facts
    WHERE site_id = $site_id AND event_time_ms >= $day_start_ms AND event_time_ms < $as_of_ms GROUP BY source
)
SELECT source::VARCHAR, sum(facts)::BIGINT, sum(body_hashes)::VARCHAR
FROM sums GROUP BY source ORDER BY source::VARCHAR;

-- name: first_event_time
SELECT min(first_ms) FROM series WHERE site_id = $site_id;
