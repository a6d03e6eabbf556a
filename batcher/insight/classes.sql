-- A run's results as a whole, and as pages of SKUs. A former run that is null has no SKU.

-- name: matrix
-- SKUs, picks and units by both classes.
SELECT abc_class, xyz_class, count(*) AS skus, sum(order_lines)::BIGINT AS picks, sum(net_units) AS units
FROM results WHERE run_id = $run_id
GROUP BY ALL ORDER BY ALL;

-- name: pareto
-- By rank, which share of the demand that decides on classes the SKUs up to there have: about `points` of them.
WITH demanded AS (
    SELECT sku, net_units, abc_class, class_demand($class_metric, net_units, forward_lines, normalized_lines) AS demand
    FROM results WHERE run_id = $run_id
),
ranked AS (
    SELECT
        abc_class, row_number() OVER places AS rank, count(*) OVER () AS skus, sum(demand) OVER () AS total,
        sum(demand) OVER (places ROWS UNBOUNDED PRECEDING) AS reached
    FROM demanded
    WINDOW places AS (ORDER BY demand DESC, net_units DESC, sku)
)
SELECT rank, rank / skus AS sku_share, reached::DOUBLE / total::DOUBLE AS demand_share, abc_class
FROM ranked WHERE total > 0 AND (rank IN (1, skus) OR rank % greatest(skus // $points, 1) = 0)
ORDER BY rank;

-- name: migration
-- How many SKUs went from one pair of classes to another since the former run; null is not there.
SELECT
    former.abc_class || former.xyz_class AS before, present.abc_class || present.xyz_class AS after, count(*) AS skus
FROM (FROM results WHERE run_id = $run_id) AS present
FULL JOIN (FROM results WHERE run_id = $former_run_id) AS former USING (sku)
GROUP BY ALL ORDER BY before NULLS FIRST, after NULLS LAST;

-- name: fastest
SELECT sku, velocity_coefficient, units_per_day, order_lines, abc_class || xyz_class AS class
FROM results WHERE run_id = $run_id
ORDER BY velocity_coefficient DESC, sku LIMIT $row_limit;

-- name: movers
-- The SKUs whose coefficient rose or fell the most since the former run; 0 where it had none.
SELECT
    sku, coalesce(former.velocity_coefficient, 0) AS before, coalesce(present.velocity_coefficient, 0) AS after,
    coalesce(present.velocity_coefficient, 0) - coalesce(former.velocity_coefficient, 0) AS change,
    former.abc_class || former.xyz_class AS class_before, present.abc_class || present.xyz_class AS class_after
FROM (FROM results WHERE run_id = $run_id) AS present
FULL JOIN (FROM results WHERE run_id = $former_run_id) AS former USING (sku)
WHERE change <> 0
ORDER BY abs(change) DESC, sku LIMIT $row_limit;

-- name: skus
-- A page of the SKUs that are meant.
SELECT
    present.sku, present.velocity_coefficient, former.velocity_coefficient AS former_coefficient,
    present.order_lines, present.net_units, present.abc_class, present.stable_class, present.xyz_class,
    present.demand_cv, present.inventory_accuracy, present.provisional,
    former.abc_class || former.xyz_class AS former_class
FROM (FROM results WHERE run_id = $run_id) AS present
LEFT JOIN (FROM results WHERE run_id = $former_run_id) AS former USING (sku)
WHERE ($search IS NULL OR contains(present.sku, $search))
    AND ($abc IS NULL OR present.abc_class = $abc) AND ($xyz IS NULL OR present.xyz_class = $xyz)
ORDER BY {{order}} NULLS LAST, present.sku LIMIT $row_limit OFFSET $row_offset;

-- name: count_skus
SELECT count(*) FROM results
WHERE run_id = $run_id AND ($search IS NULL OR contains(sku, $search))
    AND ($abc IS NULL OR abc_class = $abc) AND ($xyz IS NULL OR xyz_class = $xyz);

-- name: days
-- What a SKU's facts were on each day `[start_ms, end_ms)` of a horizon; held facts are left out.
WITH days AS (SELECT unnest($starts_ms::BIGINT[]) AS start_ms, unnest($ends_ms::BIGINT[]) AS end_ms),
moved AS (
    SELECT source, event_time_ms, in_base_units(quantity, base_units) AS units
    FROM converted_facts($require_known_items)
    WHERE site_id = $site_id AND sku = $sku AND base_units IS NOT NULL AND source <> 'cycle-counts'
        AND event_time_ms >= $start_ms AND event_time_ms < $as_of_ms
)
SELECT
    start_ms, end_ms, count(*) FILTER (source = 'orders') AS lines,
    coalesce(sum(units) FILTER (source = 'orders'), 0) AS ordered,
    coalesce(sum(units) FILTER (source = 'returns'), 0) AS returned
FROM days LEFT JOIN moved ON event_time_ms >= start_ms AND event_time_ms < end_ms
GROUP BY ALL ORDER BY start_ms;

-- name: history
-- The SKU in every run whose results are kept.
SELECT rfc3339(as_of_ms) AS as_of, run_id, velocity_coefficient, abc_class || xyz_class AS class
FROM results WHERE site_id = $site_id AND horizon = $horizon AND sku = $sku
ORDER BY as_of_ms;
