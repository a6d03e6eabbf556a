-- The velocity of every SKU of the retail sample at one instant, straight from the raw Parquet file.
-- Independent of the product: nothing here is shared with it. Works in London wall time throughout (the sample has no
-- line in a DST change), so `[as_of - 30 days, as_of)` is plain arithmetic on naive timestamps.
-- Parameters: $file, $as_of (naive London wall time), $as_of_utc (naive UTC).
WITH raw AS (
    SELECT
        InvoiceNo AS invoice,
        upper(trim(StockCode)) AS sku,
        CAST(Quantity AS BIGINT) AS quantity,
        CAST(InvoiceDate AS TIMESTAMP) AS wall
    FROM read_parquet($file)
    WHERE InvoiceNo NOT LIKE 'A%'
),
events AS (
    SELECT
        sku,
        wall,
        timezone('UTC', timezone('Europe/London', wall)) AS utc,
        CASE WHEN invoice LIKE 'C%' THEN 'return' WHEN quantity > 0 THEN 'order' ELSE 'count' END AS kind,
        CASE WHEN invoice LIKE 'C%' THEN -quantity ELSE quantity END AS quantity
    FROM raw
    WHERE regexp_full_match(sku, '[0-9]{5}[A-Z]{0,2}')
),
seen AS (
    SELECT sku, min(utc) AS first_seen FROM events WHERE wall < $as_of GROUP BY sku
),
sums AS (
    SELECT
        sku,
        count(*) FILTER (kind = 'order') AS order_lines,
        coalesce(sum(quantity) FILTER (kind = 'order'), 0) AS units_ordered,
        coalesce(sum(quantity) FILTER (kind = 'return'), 0) AS units_returned,
        coalesce(sum(quantity) FILTER (kind = 'count'), 0) AS variance_units,
        count(*) FILTER (kind = 'order' AND wall >= $as_of - INTERVAL 7 DAY) AS week_1,
        count(*) FILTER (kind = 'order' AND wall >= $as_of - INTERVAL 14 DAY AND wall < $as_of - INTERVAL 7 DAY) AS week_2,
        count(*) FILTER (kind = 'order' AND wall >= $as_of - INTERVAL 21 DAY AND wall < $as_of - INTERVAL 14 DAY) AS week_3,
        count(*) FILTER (kind = 'order' AND wall >= $as_of - INTERVAL 28 DAY AND wall < $as_of - INTERVAL 21 DAY) AS week_4
    FROM events
    WHERE wall >= $as_of - INTERVAL 30 DAY AND wall < $as_of
    GROUP BY sku
),
weeks AS (
    SELECT
        *,
        (week_1 + week_2 + week_3 + week_4) / 4.0 AS mean,
        sqrt(
            (week_1 * week_1 + week_2 * week_2 + week_3 * week_3 + week_4 * week_4) / 4.0
            - ((week_1 + week_2 + week_3 + week_4) / 4.0) * ((week_1 + week_2 + week_3 + week_4) / 4.0)
        ) AS deviation
    FROM sums
),
ranked AS (
    SELECT
        *,
        deviation / nullif(mean, 0) AS demand_cv,
        sum(order_lines) OVER () AS all_lines,
        coalesce(
            sum(order_lines) OVER (
                ORDER BY order_lines DESC, units_ordered - units_returned DESC, sku
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            0
        ) AS lines_before
    FROM weeks
)
SELECT
    sku,
    order_lines,
    units_ordered,
    units_returned,
    units_ordered - units_returned AS net_units,
    order_lines / 30.0 AS lines_per_day,
    (units_ordered - units_returned) / 30.0 AS units_per_day,
    order_lines AS normalized_lines,
    order_lines / 30.0 AS velocity_coefficient,
    CASE
        WHEN order_lines = 0 THEN 'C'
        WHEN lines_before * 100 < all_lines * 80 THEN 'A'
        WHEN lines_before * 100 < all_lines * 95 THEN 'B'
        ELSE 'C'
    END AS abc_class,
    demand_cv,
    CASE WHEN demand_cv <= 0.5 THEN 'X' WHEN demand_cv <= 1.0 THEN 'Y' ELSE 'Z' END AS xyz_class,
    variance_units,
    first_seen,
    first_seen > $as_of_utc - INTERVAL 14 DAY AS provisional,
    order_lines AS forward_lines -- no seasons are loaded
FROM ranked
JOIN seen USING (sku)
ORDER BY sku
