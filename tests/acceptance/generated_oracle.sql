-- The velocity of every SKU of a generated feed, from its raw lines and items files. Independent of the product: nothing
-- here is shared with it. Amounts are whole thousandths and millionths throughout, so that sums and roundings are exact.

-- name: facts
-- Every line as it counts; `units` is null while the fact is held. Tables: raw_lines (source, line), raw_items (as in the
-- items files, all text). SKUs of the feed are plain ASCII; event times are cut off at the millisecond.
CREATE OR REPLACE TABLE facts AS
WITH items AS (
    SELECT
        sku,
        uom,
        CAST(CAST(base_units AS DECIMAL(18, 6)) * 1000000 AS HUGEINT) AS millionths,
        coalesce(TRY_CAST(nullif(valid_from, '') AS TIMESTAMPTZ), '-infinity'::TIMESTAMPTZ) AS valid_from
    FROM raw_items
),
events AS (
    SELECT
        source,
        line ->> '$.site_id' AS site_id,
        line ->> '$.event_id' AS event_id,
        upper(trim(line ->> '$.sku')) AS sku,
        line ->> '$.uom' AS uom,
        date_trunc('millisecond', CAST(line ->> '$.event_time' AS TIMESTAMPTZ)) AS moment,
        CAST(CAST(coalesce(line ->> '$.quantity', line ->> '$.variance') AS DECIMAL(18, 3)) * 1000 AS HUGEINT) AS amount,
        CAST(CAST(line ->> '$.book_quantity' AS DECIMAL(18, 3)) * 1000 AS HUGEINT) AS book
    FROM raw_lines
),
dated AS (
    SELECT
        events.*,
        CASE
            WHEN items.millionths IS NOT NULL THEN items.millionths
            WHEN events.uom = 'EA' AND events.sku NOT IN (SELECT sku FROM items) THEN 1000000
        END AS factor
    FROM events
    ASOF LEFT JOIN items ON events.sku = items.sku AND events.uom = items.uom AND events.moment >= items.valid_from
),
products AS (
    SELECT *, abs(amount * factor) AS whole, abs(book * factor) AS book_whole FROM dated
)
SELECT
    source, site_id, event_id, sku, uom, moment, amount, book AS booked,
    -- Half-even: up beyond the half, and at the half where the digit before it is odd.
    sign(amount) * (whole // 1000000 + CASE
        WHEN whole % 1000000 > 500000 OR whole % 1000000 = 500000 AND whole // 1000000 % 2 = 1 THEN 1 ELSE 0
    END) AS units,
    book_whole // 1000000 + CASE
        WHEN book_whole % 1000000 > 500000 OR book_whole % 1000000 = 500000 AND book_whole // 1000000 % 2 = 1 THEN 1
        ELSE 0
    END AS book_units
FROM products;

-- name: bounds
-- The instants of the same wall time so many days before $as_of in $zone. ICU moves a wall time that the clocks skipped
-- forward by the gap; of one that came twice the first is meant.
CREATE OR REPLACE TABLE bounds AS
WITH walls AS (
    SELECT days, timezone($zone, CAST($as_of AS TIMESTAMPTZ)) - to_days(days) AS wall
    FROM (VALUES (30), (28), (21), (14), (7)) AS counts (days)
),
instants AS (
    SELECT days, wall, timezone($zone, wall) AS moment FROM walls
)
SELECT
    days,
    CASE
        WHEN timezone($zone, moment - INTERVAL 1 HOUR) = wall THEN moment - INTERVAL 1 HOUR
        ELSE moment
    END AS moment
FROM instants
UNION ALL
SELECT 0, CAST($as_of AS TIMESTAMPTZ);

-- name: velocity
-- Every column but run_id; `windows` is how many site-local days the horizon touches from the site's first fact on.
WITH horizon AS (
    SELECT
        max(moment) FILTER (days = 30) AS start,
        max(moment) FILTER (days = 28) AS week_4,
        max(moment) FILTER (days = 21) AS week_3,
        max(moment) FILTER (days = 14) AS week_2,
        max(moment) FILTER (days = 7) AS week_1,
        max(moment) FILTER (days = 0) AS as_of
    FROM bounds
),
known AS (
    SELECT facts.*, horizon.*, moment >= start AS recent
    FROM facts, horizon
    WHERE site_id = $site AND units IS NOT NULL AND moment < as_of
),
sums AS (
    SELECT
        sku,
        any_value(as_of) AS as_of,
        min(moment) AS first_seen,
        count(*) FILTER (recent AND source = 'orders') AS lines,
        coalesce(sum(units) FILTER (recent AND source = 'orders'), 0) AS ordered,
        coalesce(sum(units) FILTER (recent AND source = 'returns'), 0) AS returned,
        coalesce(sum(units) FILTER (recent AND source = 'cycle-counts'), 0) AS variance,
        sum(abs(units)) FILTER (recent AND book_units IS NOT NULL) AS deviation,
        sum(book_units) FILTER (recent) AS book,
        -- Counts, and those within 1, 3 and 5 % of what was booked.
        count(booked) FILTER (recent) AS counts,
        count(*) FILTER (recent AND abs(amount) * 100 <= booked) AS accurate_a,
        count(*) FILTER (recent AND abs(amount) * 100 <= booked * 3) AS accurate_b,
        count(*) FILTER (recent AND abs(amount) * 100 <= booked * 5) AS accurate_c,
        [
            count(*) FILTER (source = 'orders' AND moment >= week_4 AND moment < week_3),
            count(*) FILTER (source = 'orders' AND moment >= week_3 AND moment < week_2),
            count(*) FILTER (source = 'orders' AND moment >= week_2 AND moment < week_1),
            count(*) FILTER (source = 'orders' AND moment >= week_1)
        ] AS weeks
    FROM known
    GROUP BY sku
    HAVING bool_or(recent)
),
spread AS (
    -- With S the sum and Q the sum of squares of four weeks, (deviation / mean) squared is (4 Q - S S) / (S S).
    SELECT
        *,
        list_sum(weeks) * list_sum(weeks) AS s_squared,
        4 * list_sum(list_transform(weeks, lambda week: week * week)) - list_sum(weeks) * list_sum(weeks) AS excess
    FROM sums
),
ordered AS (
    SELECT
        *,
        sum(lines) OVER () AS all_lines,
        coalesce(sum(lines) OVER (
            ORDER BY lines DESC, ordered - returned DESC, sku ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS lines_before
    FROM spread
),
ranked AS (
    SELECT
        *,
        CASE
            WHEN lines = 0 THEN 'C'
            WHEN lines_before * 100 < all_lines * 80 THEN 'A'
            WHEN lines_before * 100 < all_lines * 95 THEN 'B'
            ELSE 'C'
        END AS abc_class
    FROM ordered
),
days AS (
    SELECT
        date_diff(
            'day',
            CAST(timezone($zone, greatest(any_value(start), min(facts.moment))) AS DATE),
            CAST(timezone($zone, any_value(as_of) - INTERVAL 1 MILLISECOND) AS DATE)
        ) + 1 AS windows
    FROM facts, horizon
    WHERE site_id = $site
)
SELECT
    $site AS site_id,
    sku,
    'rolling_30d' AS horizon,
    as_of,
    lines AS order_lines,
    CAST(ordered AS DECIMAL(30, 0)) * 0.001 AS units_ordered,
    CAST(returned AS DECIMAL(30, 0)) * 0.001 AS units_returned,
    CAST(ordered - returned AS DECIMAL(30, 0)) * 0.001 AS net_units,
    lines / 30.0::DOUBLE AS lines_per_day,
    (ordered - returned)::DOUBLE / 30000 AS units_per_day,
    lines AS normalized_lines,
    lines / 30.0::DOUBLE AS velocity_coefficient,
    abc_class,
    CASE WHEN s_squared > 0 THEN sqrt(excess::DOUBLE / s_squared::DOUBLE) END AS demand_cv,
    CASE
        WHEN s_squared = 0 THEN 'Z'
        WHEN 4 * excess <= s_squared THEN 'X'
        WHEN excess <= s_squared THEN 'Y'
        ELSE 'Z'
    END AS xyz_class,
    CAST(variance AS DECIMAL(30, 0)) * 0.001 AS variance_units,
    CASE WHEN book > 0 THEN greatest(0, 1 - deviation::DOUBLE / book::DOUBLE) END AS inventory_accuracy,
    first_seen,
    as_of - first_seen < INTERVAL 336 HOUR AS provisional,
    1.0::DOUBLE AS coverage,
    lines AS forward_lines, -- no seasons are loaded
    abc_class AS stable_class, -- classes have no memory unless the settings give them one
    CASE
        WHEN counts > 0
        THEN CASE abc_class WHEN 'A' THEN accurate_a WHEN 'B' THEN accurate_b ELSE accurate_c END / counts::DOUBLE
    END AS count_accuracy,
    windows
FROM ranked, days
ORDER BY sku;
