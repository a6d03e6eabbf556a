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

-- name: store
INSERT OR REPLACE INTO runs BY NAME FROM new_run;

-- name: set_requested
UPDATE runs SET requested_at_ms = $requested_at_ms WHERE run_id = $run_id;

-- name: find_expendable
CREATE OR REPLACE TEMP TABLE expendable AS
SELECT run_id FROM (
    SELECT run_id FROM runs
    WHERE current AND site_id = $site_id AND horizon = $horizon
        AND (requested_at_ms IS NULL OR requested_at_ms < $requested_since_ms)
    QUALIFY row_number() OVER (ORDER BY as_of_ms DESC) > $keep
)
WHERE run_id <> $run_id AND run_id NOT IN (SELECT run_id FROM published_runs WHERE run_id IS NOT NULL);

-- name: count_expendable
SELECT count(*) FROM expendable;

-- name: remove_expendable
DELETE FROM results WHERE run_id IN (SELECT run_id FROM expendable);

-- name: retire_expendable
UPDATE runs SET current = false WHERE run_id IN (SELECT run_id FROM expendable);

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
    variance_units, inventory_accuracy, rfc3339(first_seen_ms) AS first_seen, provisional, coverage, run_id
FROM results SEMI JOIN chosen USING (run_id)
WHERE $skus IS NULL OR sku IN (SELECT unnest($skus::VARCHAR[]))
ORDER BY site_id, sku;
