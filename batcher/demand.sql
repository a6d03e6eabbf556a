-- What a line counts: channel weight / (season index * promotion uplift) in effect when it was picked.
-- Of several rows the one with the narrowest `scope` counts: SKU and site (3), SKU (2), site (1), all (0).

-- name: make_weight_spans
-- During `[start_ms, end_ms)` a line of a channel has `weight`. What no span covers has 1.
CREATE OR REPLACE TEMP TABLE weight_spans AS
WITH dated AS (
    SELECT
        key, channel, weight, (site_id IS NOT NULL)::INTEGER AS scope, coalesce(valid_from_ms, $start_ms) AS valid_from_ms,
        lead(valid_from_ms, 1, $end_ms) OVER (PARTITION BY site_id, channel ORDER BY valid_from_ms NULLS FIRST)
            AS valid_to_ms
    FROM channels WHERE site_id IS NULL OR site_id = $site_id
),
candidates AS (
    SELECT
        channel, greatest(valid_from_ms, $start_ms) AS start_ms, least(valid_to_ms, $end_ms) AS end_ms,
        {scope: scope, key: key, weight: weight} AS choice
    FROM dated WHERE valid_from_ms < $end_ms AND valid_to_ms > $start_ms
),
bounds AS (SELECT DISTINCT channel, unnest([start_ms, end_ms]) AS at_ms FROM candidates),
pieces AS (
    SELECT channel, at_ms AS start_ms, lead(at_ms) OVER (PARTITION BY channel ORDER BY at_ms) AS end_ms FROM bounds
),
chosen AS (
    SELECT channel, pieces.start_ms, pieces.end_ms, max(choice) AS choice
    FROM pieces JOIN candidates USING (channel)
    WHERE candidates.start_ms <= pieces.start_ms AND candidates.end_ms >= pieces.end_ms
    GROUP BY ALL
)
SELECT
    channel, start_ms, end_ms, choice.key AS weight_key, choice.weight AS weight,
    dense_rank() OVER (ORDER BY choice.weight) AS weight_no
FROM chosen;

-- name: make_demand_spans
-- During `[start_ms, end_ms)` the demand of a SKU is multiplied by `season_index` and by `uplift`; null is 1, as is what
-- no span covers. The months of the site's wall clock are `month_starts_ms` and `month_ends_ms`, numbered by `months`.
-- Of the season's rows that have the narrowest scope the latest that is valid counts; of promotions, the highest uplift.
CREATE OR REPLACE TEMP TABLE demand_spans AS
WITH months AS (
    SELECT unnest($months::INTEGER[]) AS month, unnest($month_starts_ms::BIGINT[]) AS start_ms,
        unnest($month_ends_ms::BIGINT[]) AS end_ms
),
dated_seasons AS (
    SELECT
        key, site_id, sku, month, index, coalesce(valid_from_ms, $start_ms) AS valid_from_ms,
        lead(valid_from_ms, 1, $end_ms) OVER (PARTITION BY site_id, sku, month ORDER BY valid_from_ms NULLS FIRST)
            AS valid_to_ms
    FROM seasons SEMI JOIN months USING (month) WHERE site_id IS NULL OR site_id = $site_id
),
dated AS (
    SELECT
        'season' AS factor, key, site_id, sku, index AS value,
        greatest(valid_from_ms, start_ms) AS start_ms, least(valid_to_ms, end_ms) AS end_ms
    FROM dated_seasons JOIN months USING (month)
    UNION ALL
    SELECT 'promotion', key, site_id, sku, uplift, coalesce(start_ms, $start_ms), coalesce(end_ms, $end_ms)
    FROM promotions WHERE site_id IS NULL OR site_id = $site_id
),
candidates AS MATERIALIZED (
    SELECT
        factor, sku, greatest(start_ms, $start_ms) AS start_ms, least(end_ms, $end_ms) AS end_ms,
        {scope: 2 * (sku IS NOT NULL)::INTEGER + (site_id IS NOT NULL)::INTEGER, value: value, key: key} AS choice
    FROM dated WHERE start_ms < end_ms AND start_ms < $end_ms AND end_ms > $start_ms
),
skus AS (SELECT DISTINCT sku FROM series WHERE site_id = $site_id AND EXISTS (FROM candidates)),
general_bounds AS (SELECT DISTINCT unnest([start_ms, end_ms]) AS at_ms FROM candidates WHERE sku IS NULL),
bounds AS (
    SELECT sku, unnest([start_ms, end_ms]) AS at_ms FROM candidates SEMI JOIN skus USING (sku)
    UNION
    SELECT sku, at_ms FROM skus CROSS JOIN general_bounds
),
pieces AS (
    SELECT sku, at_ms AS start_ms, lead(at_ms) OVER (PARTITION BY sku ORDER BY at_ms) AS end_ms FROM bounds
),
covered AS (
    SELECT pieces.*, factor, choice FROM pieces JOIN candidates USING (sku)
    WHERE candidates.start_ms <= pieces.start_ms AND candidates.end_ms >= pieces.end_ms
    UNION ALL
    SELECT pieces.*, factor, choice FROM pieces JOIN candidates
    ON candidates.sku IS NULL AND candidates.start_ms <= pieces.start_ms AND candidates.end_ms >= pieces.end_ms
),
chosen AS (
    SELECT
        sku, start_ms, end_ms, max(choice) FILTER (factor = 'season') AS season,
        max(choice) FILTER (factor = 'promotion') AS promotion
    FROM covered GROUP BY sku, start_ms, end_ms
)
SELECT
    sku, start_ms, end_ms, season.key AS season_key, season.value AS season_index,
    promotion.key AS promotion_key, promotion.value AS uplift, start_ms < $as_of_ms AS is_past,
    dense_rank() OVER (ORDER BY season.value, promotion.value) AS demand_no
FROM chosen;

-- name: make_quotients
-- What a line counts by each weight and each demand that there is, 0 being none: a quotient is costly, and they are few.
CREATE OR REPLACE TEMP TABLE quotients AS
WITH weights AS (SELECT DISTINCT weight_no, weight FROM weight_spans UNION ALL SELECT 0, 1),
demands AS (
    SELECT DISTINCT demand_no, coalesce(season_index, 1) AS season_index, coalesce(uplift, 1) AS uplift
    FROM demand_spans WHERE is_past
    UNION ALL SELECT 0, 1, 1
)
SELECT weight_no, demand_no, normalized_line(weight, season_index, uplift) AS normalized_line
FROM weights CROSS JOIN demands;

-- name: make_line_spans
-- What facts of the site's series count over the horizon, piece by piece: during `[start_ms, end_ms)` their unit has
-- `base_units` base units, null where they are held, and a line counts `normalized_line` by the factors in effect, null for
-- none. There is a piece for all time, so that a fact is joined with one row, which it finds by a number. All facts of an
-- even series count the same, and their units need no rounding, fact by fact: sums count as much as they do.
CREATE OR REPLACE TEMP TABLE line_spans AS
WITH spans AS MATERIALIZED (
    FROM series_spans($require_known_items)
    WHERE site_id = $site_id AND valid_from_ms < $as_of_ms AND valid_to_ms > $start_ms
),
bounds AS (
    SELECT series_no, greatest(valid_from_ms, $start_ms) AS at_ms FROM spans
    UNION
    SELECT series_no, unnest([start_ms, end_ms]) FROM spans JOIN weight_spans USING (channel)
    UNION
    SELECT series_no, unnest([start_ms, end_ms]) FROM spans JOIN demand_spans USING (sku)
),
pieces AS (
    SELECT
        series_no, at_ms AS start_ms,
        lead(at_ms, 1, $as_of_ms) OVER (PARTITION BY series_no ORDER BY at_ms) AS end_ms
    FROM bounds WHERE at_ms >= $start_ms AND at_ms < $as_of_ms
)
SELECT
    series_no, source, dense_rank() OVER (ORDER BY spans.sku)::INTEGER AS sku_no, spans.sku, uom, spans.channel,
    pieces.start_ms, pieces.end_ms, base_units,
    count(*) OVER (PARTITION BY series_no) = 1 AND coalesce(base_units % 1 = 0, true) AS is_even,
    weight_key, weight, season_key, season_index, promotion_key, uplift, normalized_line
FROM pieces JOIN spans USING (series_no)
LEFT JOIN weight_spans
    ON spans.channel = weight_spans.channel
    AND pieces.start_ms >= weight_spans.start_ms AND pieces.start_ms < weight_spans.end_ms
LEFT JOIN demand_spans
    ON spans.sku = demand_spans.sku
    AND pieces.start_ms >= demand_spans.start_ms AND pieces.start_ms < demand_spans.end_ms
JOIN quotients
    ON coalesce(weight_spans.weight_no, 0) = quotients.weight_no
    AND coalesce(demand_spans.demand_no, 0) = quotients.demand_no
WHERE pieces.start_ms >= valid_from_ms AND pieces.start_ms < valid_to_ms;

-- name: name_weighed_facts
-- The site's facts of the horizon, with what `line_spans` says of them.
CREATE OR REPLACE TEMP VIEW weighed_facts AS
SELECT
    line_spans.* EXCLUDE (start_ms, end_ms), event_time_ms, quantity, book_quantity, batch_no
FROM facts JOIN line_spans
    ON facts.series_no = line_spans.series_no
    AND facts.event_time_ms >= line_spans.start_ms AND facts.event_time_ms < line_spans.end_ms;

-- name: forget
DROP VIEW IF EXISTS temp.weighed_facts;
DROP TABLE IF EXISTS temp.line_spans;
DROP TABLE IF EXISTS temp.quotients;
DROP TABLE IF EXISTS temp.demand_spans;
DROP TABLE IF EXISTS temp.weight_spans;

-- name: define_half_even_quotient
-- Of whole numbers, the divisor above 0 and the dividend not below, rounded to a whole number, halves to the even one.
CREATE OR REPLACE MACRO half_even_quotient(dividend, divisor) AS
    dividend // divisor + CASE
        WHEN dividend % divisor * 2 > divisor THEN 1
        WHEN dividend % divisor * 2 = divisor THEN dividend // divisor % 2
        ELSE 0
    END;

-- name: define_billionths
-- A whole number of billionths below 1e29 as a decimal: exact.
CREATE OR REPLACE MACRO billionths(number) AS number::DECIMAL(29, 0) * 0.000000001::DECIMAL(9, 9);

-- name: define_normalized_line
-- Exact: factors have 6 decimals and are below 1e6, so that a weight is below 1e27 here, and index times uplift below 1e24.
CREATE OR REPLACE MACRO normalized_line(weight, season_index, uplift) AS billionths(half_even_quotient(
    (weight::DECIMAL(12, 6) * 1000000)::HUGEINT * 1000000000000000,
    (season_index::DECIMAL(12, 6) * 1000000)::HUGEINT * (uplift::DECIMAL(12, 6) * 1000000)::HUGEINT
));

-- name: define_class_demand
-- What classes are decided by; net units that are below 0 count nothing.
CREATE OR REPLACE MACRO class_demand(class_metric, net_units, forward_lines, normalized_lines) AS CASE class_metric
    WHEN 'units' THEN greatest(net_units, 0)::DECIMAL(38, 9)
    WHEN 'forward_lines' THEN forward_lines
    ELSE normalized_lines
END;
