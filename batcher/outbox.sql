-- What is due on the coefficients topic: the difference between a run's results and what was published before.

-- name: define_publishable
-- Results as they are published, in the order of the columns of `published`.
CREATE OR REPLACE VIEW publishable AS
SELECT
    site_id, horizon, sku, order_lines, units_ordered::DOUBLE AS units_ordered, units_returned::DOUBLE AS units_returned,
    net_units::DOUBLE AS net_units, lines_per_day, units_per_day, normalized_lines::DOUBLE AS normalized_lines,
    velocity_coefficient, abc_class, demand_cv, xyz_class, variance_units::DOUBLE AS variance_units, inventory_accuracy,
    first_seen_ms, provisional, coverage, run_id, forward_lines::DOUBLE AS forward_lines, stable_class, count_accuracy
FROM results;

-- name: define_departed
-- SKUs that were published, but are not in a run. `bid_farewell`: its row with zeros is out, so a tombstone is due.
CREATE OR REPLACE MACRO departed(site, of_horizon, of_run) AS TABLE
SELECT
    * EXCLUDE partition,
    order_lines = 0 AND units_ordered = 0 AND units_returned = 0 AND variance_units = 0 AND inventory_accuracy IS NULL
            AND count_accuracy IS NULL AS bid_farewell
FROM published
WHERE site_id = site AND horizon = of_horizon AND sku NOT IN (SELECT sku FROM publishable WHERE run_id = of_run);

-- name: find_changed
CREATE OR REPLACE TEMP TABLE changed AS
(
    SELECT * EXCLUDE run_id FROM publishable WHERE run_id = $run_id
    EXCEPT
    SELECT * EXCLUDE partition FROM published WHERE site_id = $site_id AND horizon = $horizon
)
UNION ALL BY NAME
SELECT
    site_id, horizon, sku, 0 AS order_lines, 0 AS units_ordered, 0 AS units_returned, 0 AS net_units,
    0 AS lines_per_day, 0 AS units_per_day, 0 AS normalized_lines, 0 AS velocity_coefficient, 'C' AS abc_class,
    NULL AS demand_cv, 'Z' AS xyz_class, 0 AS variance_units, NULL AS inventory_accuracy, first_seen_ms,
    $as_of_ms - first_seen_ms < $provisional_ms AS provisional, $coverage::DOUBLE AS coverage,
    0 AS forward_lines, 'C' AS stable_class, NULL AS count_accuracy
FROM departed($site_id, $horizon, $run_id) WHERE NOT bid_farewell;

-- name: find_gone
CREATE OR REPLACE TEMP TABLE gone AS SELECT sku FROM departed($site_id, $horizon, $run_id) WHERE bid_farewell;

-- name: enqueue
INSERT INTO outbox (partition, key, value)
SELECT $partition, concat_ws('/', $site_id, $horizon, sku), value FROM (
    SELECT sku, to_json({
        site_id: site_id, sku: sku, horizon: horizon, as_of: rfc3339($as_of_ms), order_lines: order_lines,
        units_ordered: units_ordered, units_returned: units_returned, net_units: net_units,
        lines_per_day: lines_per_day, units_per_day: units_per_day, normalized_lines: normalized_lines,
        velocity_coefficient: velocity_coefficient, abc_class: abc_class, demand_cv: demand_cv, xyz_class: xyz_class,
        variance_units: variance_units, inventory_accuracy: inventory_accuracy, first_seen: rfc3339(first_seen_ms),
        provisional: provisional, coverage: coverage, run_id: $run_id,
        forward_lines: forward_lines, stable_class: stable_class, count_accuracy: count_accuracy
    })::VARCHAR AS value FROM changed
    UNION ALL
    SELECT sku, NULL FROM gone
)
ORDER BY sku;

-- name: remove_former
DELETE FROM published
WHERE site_id = $site_id AND horizon = $horizon AND sku IN (SELECT sku FROM changed UNION ALL SELECT sku FROM gone);

-- name: insert_changed
INSERT INTO published BY NAME SELECT $partition AS partition, * FROM changed;

-- name: set_published_run
INSERT OR REPLACE INTO published_runs BY NAME SELECT
    $site_id AS site_id, $horizon AS horizon, $partition AS partition, $as_of_ms AS as_of_ms, $run_id AS run_id;

-- name: published_run
SELECT as_of_ms, run_id FROM published_runs WHERE site_id = $site_id AND horizon = $horizon;

-- name: published_runs
SELECT run_id FROM published_runs WHERE partition = $partition AND run_id IS NOT NULL ORDER BY site_id, horizon;

-- name: pending
SELECT seq, key, value FROM outbox WHERE partition = $partition ORDER BY seq LIMIT $row_limit;

-- name: acknowledge
DELETE FROM outbox WHERE partition = $partition AND seq <= $up_to;

-- name: remove_pending
DELETE FROM outbox WHERE partition = $partition;

-- name: remove_published
DELETE FROM published WHERE partition = $partition;

-- name: remove_published_runs
DELETE FROM published_runs WHERE partition = $partition;

-- name: insert_baseline
INSERT INTO published BY NAME SELECT * EXCLUDE as_of_ms FROM baseline;

-- name: insert_baseline_runs
INSERT INTO published_runs BY NAME
SELECT site_id, horizon, partition, max(as_of_ms) AS as_of_ms FROM baseline GROUP BY site_id, horizon, partition;

-- name: enqueue_tombstones
INSERT INTO outbox (partition, key) SELECT $partition, unnest($keys::VARCHAR[]);
