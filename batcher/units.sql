-- Units of measure: what a quantity is in base units, and when.

-- name: define_unit_spans
-- During `[valid_from_ms, valid_to_ms)` a unit of an item has `base_units` base units, or is known to have none: `EA` of a
-- listed item that has no row for it. What no span covers is an item that is not listed, or another unit without a row.
CREATE OR REPLACE VIEW unit_spans AS
WITH dated AS (
    SELECT sku, uom, base_units, coalesce(valid_from_ms, -9223372036854775808) AS valid_from_ms FROM items
),
without_each AS (
    SELECT sku, coalesce(min(valid_from_ms) FILTER (uom = 'EA'), 9223372036854775807) AS valid_to_ms
    FROM dated GROUP BY sku
)
SELECT
    sku, uom, base_units, valid_from_ms,
    lead(valid_from_ms, 1, 9223372036854775807) OVER (PARTITION BY sku, uom ORDER BY valid_from_ms) AS valid_to_ms
FROM dated
UNION ALL BY NAME
SELECT sku, 'EA' AS uom, NULL AS base_units, -9223372036854775808 AS valid_from_ms, valid_to_ms
FROM without_each WHERE valid_to_ms > -9223372036854775808;

-- name: define_half_even
-- A product of 9 decimals to 3. `round` takes halves away from zero, which is wrong where a half then ends odd.
CREATE OR REPLACE MACRO half_even(product) AS
    round(product, 3) - CASE
        WHEN abs(product - round(product, 3)) = 0.0005 AND (round(product, 3) * 1000) % 2 <> 0
        THEN sign(product) * 0.001
        ELSE 0
    END;

-- name: define_in_base_units
-- Exact: quantities up to 1e9 and units below 1e6 leave a product of 9 decimals within 38 digits, and one of 3 within 18.
-- Whole units, which most are, need no rounding, and the base unit itself no wide product.
CREATE OR REPLACE MACRO in_base_units(quantity, base_units) AS CASE
    WHEN base_units = 1 THEN CAST(quantity AS DECIMAL(18, 3))
    ELSE CAST(CASE
        WHEN base_units % 1 = 0 THEN CAST(quantity AS DECIMAL(26, 3)) * CAST(base_units AS DECIMAL(6, 0))
        ELSE half_even(CAST(quantity AS DECIMAL(26, 3)) * base_units)
    END AS DECIMAL(18, 3))
END;

-- name: define_series_spans
-- During `[valid_from_ms, valid_to_ms)` a unit of a series' facts has `base_units` base units; null is held. There is a span
-- for all time.
CREATE OR REPLACE MACRO series_spans(require_known_items) AS TABLE
SELECT series.*, base_units, valid_from_ms, valid_to_ms FROM series JOIN unit_spans USING (sku, uom)
UNION ALL BY NAME
SELECT
    series.*,
    CASE WHEN uom = 'EA' AND NOT require_known_items THEN 1 END::DECIMAL(12, 6) AS base_units,
    -9223372036854775808 AS valid_from_ms, coalesce(known_from_ms, 9223372036854775807) AS valid_to_ms
FROM series LEFT JOIN (
    SELECT sku, uom, min(valid_from_ms) AS known_from_ms FROM unit_spans GROUP BY sku, uom
) USING (sku, uom)
WHERE known_from_ms IS DISTINCT FROM -9223372036854775808;

-- name: define_converted_facts
-- Facts with the texts of their series, and the `base_units` of their unit when they happened: null is held.
CREATE OR REPLACE MACRO converted_facts(require_known_items) AS TABLE
SELECT spans.* EXCLUDE (first_ms, valid_from_ms, valid_to_ms), facts.* EXCLUDE series_no
FROM facts JOIN series_spans(require_known_items) AS spans
    ON facts.series_no = spans.series_no
    AND facts.event_time_ms >= spans.valid_from_ms AND facts.event_time_ms < spans.valid_to_ms;
