-- Hysteresis of classes: `stable_class` follows `abc_class` once that is certain, or has been so for long enough.

-- name: define_is_beyond
-- Whether a SKU of the class `former` has passed the bound of that class by more than the margin. `lines_before` is what
-- SKUs before it sell of `site_lines`; from the share `leave_a` on it is an A no longer, below `join_a` a B is none any
-- more but an A, and likewise for B and C.
CREATE OR REPLACE MACRO is_beyond(former, class, lines_before, site_lines, join_a, leave_a, join_b, leave_b) AS CASE
    WHEN former = 'A' THEN lines_before >= site_lines * leave_a::DECIMAL(10, 9)
    WHEN former = 'C' THEN lines_before < site_lines * join_b::DECIMAL(10, 9)
    WHEN class = 'A' THEN lines_before < site_lines * join_a::DECIMAL(10, 9)
    ELSE lines_before >= site_lines * leave_b::DECIMAL(10, 9)
END;

-- name: define_pending_runs
-- For how many runs in a row, this one included, the class has been the same and another than the stable one.
CREATE OR REPLACE MACRO pending_runs(class, former_stable, former_class, former_pending) AS CASE
    WHEN class = former_stable THEN 0
    WHEN class = former_class THEN former_pending + 1
    ELSE 1
END;

-- name: define_next_stable_class
-- A SKU without a former class has the class that it has.
CREATE OR REPLACE MACRO next_stable_class(class, former_stable, is_beyond, pending, class_runs) AS CASE
    WHEN former_stable IS NULL OR is_beyond OR pending >= class_runs THEN class
    ELSE former_stable
END;

-- name: find_recovered
SELECT max(as_of_ms), sha256(coalesce(string_agg(concat_ws('/', as_of_ms, sku, stable_class), chr(10) ORDER BY sku), ''))
FROM recovered_classes WHERE site_id = $site_id AND horizon = $horizon AND as_of_ms <= $as_of_ms;

-- name: name_newer_published
CREATE OR REPLACE TEMP TABLE newer_published AS
SELECT site_id, horizon, as_of_ms FROM published_runs
WHERE partition = $partition AND NOT EXISTS (
    FROM runs WHERE current AND runs.site_id = published_runs.site_id AND runs.horizon = published_runs.horizon
        AND runs.as_of_ms >= published_runs.as_of_ms
);

-- name: forget_recovered
DELETE FROM recovered_classes USING newer_published AS newer
WHERE recovered_classes.site_id = newer.site_id AND recovered_classes.horizon = newer.horizon;

-- name: recover
INSERT INTO recovered_classes BY NAME
SELECT site_id, horizon, sku, as_of_ms, stable_class
FROM published JOIN newer_published USING (site_id, horizon) WHERE partition = $partition;
