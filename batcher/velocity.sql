-- The velocity of every SKU of a site: one row for each that has a fact in the horizon.

-- name: calculate
INSERT INTO results BY NAME
WITH counted AS NOT MATERIALIZED (
    SELECT
        sku, source, event_time_ms,
        in_base_units(coalesce(quantity, variance), base_units) AS units,
        in_base_units(book_quantity, base_units) AS book_units,
        -- Channel weight / (season index * promotion uplift) in effect at event_time_ms, rounded to 9 decimals.
        1::DECIMAL(18, 9) AS normalized_line
    FROM converted_facts($require_known_items)
    WHERE site_id = $site_id AND event_time_ms >= $start_ms AND event_time_ms < $as_of_ms AND base_units IS NOT NULL
),
-- Orders by themselves, for most facts are: one group per SKU, with its lines in each block.
ordered AS (
    SELECT
        sku, count(*) AS order_lines, sum(units) AS units_ordered, sum(normalized_line) AS normalized_lines,
        [
            count(*) FILTER (event_time_ms >= $block_starts_ms[1] AND event_time_ms < $block_starts_ms[2]),
            count(*) FILTER (event_time_ms >= $block_starts_ms[2] AND event_time_ms < $block_starts_ms[3]),
            count(*) FILTER (event_time_ms >= $block_starts_ms[3] AND event_time_ms < $block_starts_ms[4]),
            count(*) FILTER (event_time_ms >= $block_starts_ms[4])
        ] AS block_lines,
        min(event_time_ms) AS first_seen_ms
    FROM counted WHERE source = 'orders' GROUP BY sku
),
others AS (
    SELECT
        sku,
        sum(units) FILTER (source = 'returns') AS units_returned,
        sum(units) FILTER (source = 'cycle-counts') AS variance_units,
        -- Of counts: nothing else has a book quantity.
        sum(abs(units)) FILTER (book_units IS NOT NULL) AS deviation, sum(book_units) AS book_units,
        min(event_time_ms) AS first_seen_ms
    FROM counted WHERE source <> 'orders' GROUP BY sku
),
-- The first facts of units, and those that were held then though the unit became valid before the horizon. Where there
-- are none of the latter, which is nearly always, the facts before the horizon are not read.
firsts AS MATERIALIZED (
    FROM converted('first_facts', $require_known_items) WHERE site_id = $site_id AND event_time_ms < $start_ms
),
valid_later AS (
    SELECT sku, uom FROM firsts SEMI JOIN unit_spans
    ON firsts.base_units IS NULL AND unit_spans.base_units IS NOT NULL AND unit_spans.valid_from_ms < $start_ms
        AND firsts.sku = unit_spans.sku AND firsts.uom = unit_spans.uom
),
seen_before AS (
    SELECT sku, min(event_time_ms) AS before_ms FROM (
        SELECT sku, event_time_ms FROM firsts WHERE base_units IS NOT NULL
        UNION ALL
        SELECT sku, event_time_ms FROM converted_facts($require_known_items) SEMI JOIN valid_later USING (sku, uom)
        WHERE site_id = $site_id AND event_time_ms < $start_ms AND base_units IS NOT NULL
    ) GROUP BY sku
),
totals AS (
    SELECT
        sku, least(ordered.first_seen_ms, others.first_seen_ms) AS first_seen_ms, -- of a null and a number, the number
        coalesce(order_lines, 0) AS order_lines,
        coalesce(units_ordered, 0) AS units_ordered, coalesce(units_returned, 0) AS units_returned,
        coalesce(normalized_lines, 0) AS normalized_lines,
        coalesce(variance_units, 0) AS variance_units, deviation, book_units,
        nullif(list_sum(block_lines), 0) AS block_lines,
        list_sum(list_transform(block_lines, lambda lines: lines::HUGEINT * lines)) AS block_lines_squared
    FROM ordered FULL JOIN others USING (sku)
),
ranked AS (
    SELECT
        *, units_ordered - units_returned AS net_units,
        -- With n blocks and their lines c: population deviation / mean = sqrt(n * sum(c * c) - sum(c) * sum(c)) / sum(c).
        sqrt((len($block_starts_ms) * block_lines_squared - block_lines * block_lines)::DOUBLE) / block_lines::DOUBLE
            AS demand_cv,
        sum(normalized_lines) OVER () AS site_lines,
        coalesce(sum(normalized_lines) OVER (
            ORDER BY normalized_lines DESC, units_ordered - units_returned DESC, sku
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS lines_before
    FROM totals
)
SELECT
    $site_id AS site_id, sku, $horizon AS horizon, $as_of_ms AS as_of_ms,
    order_lines, units_ordered, units_returned, net_units,
    order_lines / $days AS lines_per_day, net_units::DOUBLE / $days AS units_per_day,
    normalized_lines, normalized_lines::DOUBLE / $days AS velocity_coefficient,
    CASE
        WHEN order_lines = 0 THEN 'C'
        WHEN lines_before < site_lines::DECIMAL(28, 9) * $abc_a::DECIMAL(10, 9) THEN 'A'
        WHEN lines_before < site_lines::DECIMAL(28, 9) * $abc_b::DECIMAL(10, 9) THEN 'B'
        ELSE 'C'
    END AS abc_class,
    demand_cv,
    CASE WHEN demand_cv <= $xyz_x THEN 'X' WHEN demand_cv <= $xyz_y THEN 'Y' ELSE 'Z' END AS xyz_class,
    variance_units,
    CASE WHEN book_units > 0 THEN greatest(0, 1 - deviation::DOUBLE / book_units::DOUBLE) END AS inventory_accuracy,
    least(first_seen_ms, before_ms) AS first_seen_ms,
    $as_of_ms - least(first_seen_ms, before_ms) < $provisional_ms AS provisional,
    $coverage::DOUBLE AS coverage, $run_id AS run_id
FROM ranked LEFT JOIN seen_before USING (sku) ORDER BY sku;
