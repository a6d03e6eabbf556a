-- The velocity of every SKU of a site: one row for each that has a fact in the horizon.

-- name: calculate
INSERT INTO results BY NAME
-- Facts of even series are summed up before anything is looked up; only those of others are joined with what they count.
WITH even_sums AS (
    {{even_sums}}
),
uneven_lines AS NOT MATERIALIZED (
    SELECT sku_no, {{block}} AS block, in_base_units(quantity, base_units) AS units, normalized_line
    FROM weighed_facts
    WHERE source = 'orders' AND NOT is_even AND event_time_ms >= $start_ms AND event_time_ms < $as_of_ms
        AND base_units IS NOT NULL
),
lines AS (
    SELECT
        sku_no, block, lines, quantity * base_units::DECIMAL(6, 0) AS units, lines * normalized_line AS normalized_lines
    FROM even_sums JOIN line_spans USING (series_no) WHERE base_units IS NOT NULL
    UNION ALL
    SELECT sku_no, block, count(*), sum(units), sum(normalized_line) FROM uneven_lines GROUP BY ALL
),
ordered_by_block AS (
    SELECT
        sku_no, block, sum(lines)::BIGINT AS lines, sum(units) AS units, sum(normalized_lines) AS normalized_lines
    FROM lines GROUP BY ALL
),
ordered AS (
    SELECT
        sku_no, sum(lines)::BIGINT AS order_lines, sum(units) AS units_ordered,
        sum(normalized_lines) AS normalized_lines,
        sum(lines) FILTER (block > 0) AS block_lines, sum(lines::HUGEINT * lines) FILTER (block > 0) AS block_lines_squared
    FROM ordered_by_block GROUP BY sku_no
),
returned AS (
    SELECT sku_no, sum(in_base_units(quantity, base_units)) AS units_returned
    FROM weighed_facts
    WHERE source = 'returns' AND series_no BETWEEN $first_returns AND $last_returns
        AND event_time_ms >= $start_ms AND event_time_ms < $as_of_ms AND base_units IS NOT NULL
    GROUP BY sku_no
),
counts AS NOT MATERIALIZED (
    SELECT
        sku_no, in_base_units(quantity, base_units) AS units, in_base_units(book_quantity, base_units) AS book_units,
        abs(quantity) AS deviation, book_quantity
    FROM weighed_facts
    WHERE source = 'cycle-counts' AND series_no BETWEEN $first_counts AND $last_counts
        AND event_time_ms >= $start_ms AND event_time_ms < $as_of_ms AND base_units IS NOT NULL
),
counted AS (
    SELECT
        sku_no, sum(units) AS variance_units,
        sum(abs(units)) FILTER (book_units IS NOT NULL) AS deviation, sum(book_units) AS book_units,
        count(book_quantity) AS booked_counts,
        count(*) FILTER (deviation <= book_quantity::DECIMAL(28, 3) * $count_tolerance_a::DECIMAL(10, 9)) AS accurate_a,
        count(*) FILTER (deviation <= book_quantity::DECIMAL(28, 3) * $count_tolerance_b::DECIMAL(10, 9)) AS accurate_b,
        count(*) FILTER (deviation <= book_quantity::DECIMAL(28, 3) * $count_tolerance_c::DECIMAL(10, 9)) AS accurate_c
    FROM counts GROUP BY sku_no
),
-- Of a series the first fact that is not held. That is its first one, unless that one is held though the unit became valid
-- afterwards: only then, which is rare, its facts are read from the first one on.
firsts AS MATERIALIZED (
    SELECT series_no, sku, uom, first_ms, base_units FROM series_spans($require_known_items)
    WHERE site_id = $site_id AND first_ms < $as_of_ms AND first_ms >= valid_from_ms AND first_ms < valid_to_ms
),
valid_later AS (
    SELECT series_no FROM firsts SEMI JOIN unit_spans
    ON firsts.base_units IS NULL AND unit_spans.base_units IS NOT NULL AND unit_spans.valid_from_ms < $as_of_ms
        AND firsts.sku = unit_spans.sku AND firsts.uom = unit_spans.uom
),
seen AS (
    SELECT sku, min(event_time_ms) AS first_seen_ms FROM (
        SELECT sku, first_ms AS event_time_ms FROM firsts WHERE base_units IS NOT NULL
        UNION ALL
        SELECT sku, event_time_ms FROM converted_facts($require_known_items) SEMI JOIN valid_later USING (series_no)
        WHERE event_time_ms < $as_of_ms AND base_units IS NOT NULL
    ) GROUP BY sku
),
-- The sum of the season's indexes on the days ahead, of the SKUs that have a season then.
seasons_ahead AS (
    SELECT sku, len($days_ahead_ms) + sum((season_index - 1) * days) AS index_sum FROM (
        SELECT
            sku, season_index,
            len(list_filter($days_ahead_ms::BIGINT[], lambda day_ms: day_ms >= start_ms AND day_ms < end_ms)) AS days
        FROM demand_spans WHERE season_index IS NOT NULL AND end_ms > $as_of_ms
    ) GROUP BY sku
),
totals AS (
    SELECT
        sku, coalesce(order_lines, 0) AS order_lines,
        coalesce(units_ordered, 0) AS units_ordered, coalesce(units_returned, 0) AS units_returned,
        coalesce(units_ordered, 0) - coalesce(units_returned, 0) AS net_units,
        coalesce(normalized_lines, 0) AS normalized_lines,
        coalesce(variance_units, 0) AS variance_units, deviation, book_units,
        booked_counts, accurate_a, accurate_b, accurate_c,
        block_lines, block_lines_squared
    FROM ordered FULL JOIN returned USING (sku_no) FULL JOIN counted USING (sku_no)
    JOIN (SELECT DISTINCT sku_no, sku FROM line_spans) USING (sku_no)
),
-- Normalised lines times the mean season index of the days ahead, rounded to 9 decimals.
projected AS (
    SELECT
        totals.*,
        CASE
            WHEN index_sum IS NULL THEN normalized_lines
            ELSE billionths(half_even_quotient(
                (normalized_lines * 1000000000)::HUGEINT * (index_sum * 1000000)::HUGEINT,
                len($days_ahead_ms)::HUGEINT * 1000000
            ))
        END AS forward_lines
    FROM totals LEFT JOIN seasons_ahead USING (sku)
),
measured AS (
    SELECT *, class_demand($class_metric, net_units, forward_lines, normalized_lines) AS demand
    FROM projected
),
ranked AS (
    SELECT
        *,
        -- With n blocks and their lines c: population deviation / mean = sqrt(n * sum(c * c) - sum(c) * sum(c)) / sum(c).
        sqrt(((len($bounds_ms) - 2) * block_lines_squared - block_lines * block_lines)::DOUBLE)
            / block_lines::DOUBLE AS demand_cv,
        (sum(demand) OVER ())::DECIMAL(28, 9) AS site_demand,
        coalesce(sum(demand) OVER (
            ORDER BY demand DESC, net_units DESC, sku ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS demand_before
    FROM measured
),
classed AS (
    SELECT
        *,
        CASE
            WHEN order_lines = 0 THEN 'C'
            WHEN demand_before < site_demand * $abc_a::DECIMAL(10, 9) THEN 'A'
            WHEN demand_before < site_demand * $abc_b::DECIMAL(10, 9) THEN 'B'
            ELSE 'C'
        END AS abc_class
    FROM ranked
),
-- Of the run before, or, after a loss, of the coefficients topic. Neither where classes have no memory.
former AS (
    SELECT sku, stable_class, abc_class, pending_runs FROM results WHERE run_id = $former_run_id
    UNION ALL
    SELECT sku, stable_class, stable_class, 0 FROM recovered_classes
    WHERE $is_recovered AND site_id = $site_id AND horizon = $horizon
),
judged AS (
    SELECT
        classed.*, former.stable_class AS former_class,
        pending_runs(classed.abc_class, former.stable_class, former.abc_class, former.pending_runs) AS pending,
        order_lines = 0 OR is_beyond(
            former.stable_class, classed.abc_class, demand_before, site_demand, $join_a, $leave_a, $join_b, $leave_b
        ) AS is_certain
    FROM classed LEFT JOIN former USING (sku)
),
settled AS (
    SELECT *, next_stable_class(abc_class, former_class, is_certain, pending, $class_runs) AS stable_class FROM judged
)
SELECT
    $site_id AS site_id, sku, $horizon AS horizon, $as_of_ms AS as_of_ms,
    order_lines, units_ordered, units_returned, net_units,
    order_lines / $days AS lines_per_day, net_units::DOUBLE / $days AS units_per_day,
    normalized_lines, normalized_lines::DOUBLE / $days AS velocity_coefficient,
    abc_class, demand_cv,
    CASE WHEN demand_cv <= $xyz_x THEN 'X' WHEN demand_cv <= $xyz_y THEN 'Y' ELSE 'Z' END AS xyz_class,
    variance_units,
    CASE WHEN book_units > 0 THEN greatest(0, 1 - deviation::DOUBLE / book_units::DOUBLE) END AS inventory_accuracy,
    first_seen_ms, $as_of_ms - first_seen_ms < $provisional_ms AS provisional,
    $coverage::DOUBLE AS coverage, $run_id AS run_id, forward_lines, stable_class,
    CASE abc_class WHEN 'A' THEN accurate_a WHEN 'B' THEN accurate_b ELSE accurate_c END
        / nullif(booked_counts, 0)::DOUBLE AS count_accuracy,
    CASE WHEN stable_class = abc_class THEN 0 ELSE pending END AS pending_runs
FROM settled LEFT JOIN seen USING (sku) ORDER BY sku;

-- name: even_sums
-- Those of one block, 0 being the time before the first one: block by block, groups are few, and other blocks not read.
SELECT series_no, {{block}} AS block, count(*) AS lines, sum(quantity) AS quantity
FROM facts ANTI JOIN (SELECT series_no FROM line_spans WHERE source = 'orders' AND NOT is_even) USING (series_no)
WHERE series_no BETWEEN $first_orders AND $last_orders
    AND event_time_ms >= $bounds_ms[{{block}} + 1] AND event_time_ms < $bounds_ms[{{block}} + 2]
GROUP BY series_no

-- name: passed_bound
-- The sum of them for all bounds but the last is the number of an event time's block, 0 before the first one.
(event_time_ms >= $bounds_ms[{{block}} + 1])::UTINYINT

-- name: number_ranges
-- The first and the last number of the site's series of each source: no others lie between them.
SELECT
    coalesce(min(series_no) FILTER (source = 'orders'), 0) AS first_orders,
    coalesce(max(series_no) FILTER (source = 'orders'), 0) AS last_orders,
    coalesce(min(series_no) FILTER (source = 'returns'), 0) AS first_returns,
    coalesce(max(series_no) FILTER (source = 'returns'), 0) AS last_returns,
    coalesce(min(series_no) FILTER (source = 'cycle-counts'), 0) AS first_counts,
    coalesce(max(series_no) FILTER (source = 'cycle-counts'), 0) AS last_counts
FROM line_spans;
