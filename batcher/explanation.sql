-- What a coefficient is made of. `weighed_facts` and `demand_spans` are there: see demand.py.

-- name: conversions
-- The SKU's facts of the horizon per source, unit and base units; null base units are held.
SELECT
    source::VARCHAR AS source, uom, base_units, count(*) AS facts, sum(quantity) AS quantity,
    sum(in_base_units(quantity, base_units)) AS units
FROM weighed_facts WHERE sku = $sku
GROUP BY ALL ORDER BY ALL;

-- name: factors
-- The SKU's order lines by what they count, and the reference rows that say so: `lines` times `line` is `normalized_lines`.
SELECT
    channel, weight, weight_key, season_index, season_key, uplift, promotion_key,
    count(*) AS lines, normalized_line::DECIMAL(38, 9) AS line, sum(normalized_line) AS normalized_lines
FROM weighed_facts WHERE source = 'orders' AND sku = $sku AND base_units IS NOT NULL
GROUP BY ALL ORDER BY lines DESC, channel, weight_key, season_key, promotion_key;

-- name: seasons_ahead
-- The season's rows on the days ahead; on days without one the index is 1.
SELECT
    season_key, season_index,
    len(list_filter($days_ahead_ms::BIGINT[], lambda day_ms: day_ms >= start_ms AND day_ms < end_ms)) AS days
FROM demand_spans
WHERE sku = $sku AND season_key IS NOT NULL AND end_ms > $as_of_ms ORDER BY start_ms;

-- name: origins
-- The batches that the SKU's facts of the horizon came from.
SELECT batch_id, source::VARCHAR AS source, kind, facts, first_event_ms, last_event_ms FROM (
    SELECT batch_no, min(event_time_ms) AS first_event_ms, max(event_time_ms) AS last_event_ms, count(*) AS facts
    FROM weighed_facts WHERE sku = $sku GROUP BY batch_no
) JOIN batches USING (batch_no)
ORDER BY first_event_ms, batch_id;

-- name: standing
-- Where the SKU stands among those of its run, by the demand that decides on classes.
WITH demanded AS (
    SELECT *, class_demand($class_metric, net_units, forward_lines, normalized_lines) AS demand
    FROM results WHERE run_id = $run_id
),
ranked AS (
    SELECT
        sku, demand, row_number() OVER places AS rank, count(*) OVER () AS skus, sum(demand) OVER () AS site_demand,
        coalesce(sum(demand) OVER (places ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS demand_before
    FROM demanded
    WINDOW places AS (ORDER BY demand DESC, net_units DESC, sku)
)
SELECT rank, skus, demand, demand_before, site_demand FROM ranked WHERE sku = $sku;

-- name: threshold
-- The demand from which on the SKU's share before is below `share`, all others being as they are. With the others in
-- descending order, `before` the sum of the first k and `all_others` that of all, a SKU of demand x behind k others is
-- there if before < share * (all_others + x): as many others as can be are before it.
WITH demanded AS (
    SELECT *, class_demand($class_metric, net_units, forward_lines, normalized_lines) AS demand
    FROM results WHERE run_id = $run_id
),
others AS (
    SELECT
        demand, row_number() OVER places AS place, sum(demand) OVER () AS all_others,
        sum(demand) OVER (places ROWS UNBOUNDED PRECEDING) AS before, lead(demand, 1, 0) OVER places AS next_demand
    FROM demanded WHERE sku <> $sku
    WINDOW places AS (ORDER BY demand DESC, sku)
),
possible AS (
    SELECT place, greatest(next_demand::DOUBLE, before::DOUBLE / $share::DOUBLE - all_others::DOUBLE) AS demand FROM others
    WHERE before < $share::DECIMAL(10, 9) * (all_others + demand)::DECIMAL(28, 9)
    UNION ALL
    SELECT 0, coalesce(max(demand), 0)::DOUBLE FROM others
)
SELECT arg_max(demand, place) FROM possible;

-- name: moved
-- Order lines that the horizon has gained at its end and lost at its start since the run before.
SELECT
    count(*) FILTER (event_time_ms >= $former_as_of_ms) AS entered,
    count(*) FILTER (event_time_ms < $start_ms) AS left_behind
FROM converted_facts($require_known_items)
WHERE source = 'orders' AND site_id = $site_id AND sku = $sku AND base_units IS NOT NULL
    AND (
        (event_time_ms >= $former_as_of_ms AND event_time_ms < $as_of_ms)
        OR (event_time_ms >= $former_start_ms AND event_time_ms < $start_ms)
    );

-- name: classes
SELECT abc_class, stable_class, pending_runs FROM results WHERE run_id = $run_id AND sku = $sku;
