-- Runs, and the results that they left.

-- name: define_rfc3339
CREATE OR REPLACE MACRO rfc3339(at_ms) AS
    strftime(make_timestamp(at_ms * 1000), '%Y-%m-%dT%H:%M:%S')
    || CASE WHEN at_ms % 1000 = 0 THEN 'Z' ELSE printf('.%03dZ', at_ms % 1000) END;

-- name: find
FROM runs WHERE run_id = $run_id;

-- name: find_newest
-- The current run of the latest `as_of` up to `until_ms`.
FROM runs WHERE current AND site_id = $site_id AND horizon = $horizon AND as_of_ms <= $until_ms
ORDER BY as_of_ms DESC LIMIT 1;

-- name: find_all
FROM runs WHERE $site_id IS NULL OR site_id = $site_id
ORDER BY calculated_at_ms DESC, as_of_ms DESC, site_id, horizon, run_id LIMIT $row_limit;

-- name: supersede
UPDATE runs SET current = false
WHERE site_id = $site_id AND horizon = $horizon AND as_of_ms = $as_of_ms AND current;

-- name: remove_results
DELETE FROM results WHERE site_id = $site_id AND horizon = $horizon AND as_of_ms = $as_of_ms;

-- name: find_outdated
-- Beyond the newest instants, and, counted apart, the last ones that were asked for. What is published stays, as does the
-- run in hand.
CREATE OR REPLACE TEMP TABLE outdated AS
SELECT run_id FROM runs
WHERE current AND site_id = $site_id AND horizon = $horizon
QUALIFY run_id <> $run_id AND run_id NOT IN (SELECT run_id FROM published_runs WHERE run_id IS NOT NULL)
    AND row_number() OVER (
        PARTITION BY trigger = $request
        ORDER BY CASE WHEN trigger = $request THEN calculated_at_ms ELSE as_of_ms END DESC, as_of_ms DESC
    ) > $instants;

-- name: supersede_outdated
UPDATE runs SET current = false WHERE run_id IN (FROM outdated);

-- name: remove_outdated
DELETE FROM results WHERE run_id IN (FROM outdated);

-- name: store
INSERT OR REPLACE INTO runs BY NAME FROM new_run;

-- name: results
-- Of the given `as_of`, or of each site's newest.
WITH chosen AS (
    SELECT run_id FROM runs
    WHERE current AND horizon = $horizon AND ($site_id IS NULL OR site_id = $site_id)
        AND ($as_of_ms IS NULL OR as_of_ms = $as_of_ms)
    QUALIFY as_of_ms = max(as_of_ms) OVER (PARTITION BY site_id)
)
SELECT
    site_id, sku, horizon, rfc3339(as_of_ms) AS as_of,
    order_lines, units_ordered, units_returned, net_units, lines_per_day, units_per_day,
    normalized_lines, velocity_coefficient, abc_class, demand_cv, xyz_class,
    variance_units, inventory_accuracy, rfc3339(first_seen_ms) AS first_seen, provisional, coverage, run_id,
    forward_lines, stable_class, count_accuracy
FROM results SEMI JOIN chosen USING (run_id)
WHERE $skus IS NULL OR sku IN (SELECT unnest($skus::VARCHAR[]))
ORDER BY site_id, sku;
