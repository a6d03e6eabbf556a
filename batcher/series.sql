-- Series: a source's facts of a SKU at a site that have one unit of measure and one channel.

-- name: add
-- Numbers of one site and source have the same upper half, that of a new site and source is the next.
INSERT INTO series
WITH distinct_ones AS (SELECT DISTINCT site_id, source::source AS source, sku, uom, channel FROM strangers),
last_numbers AS (
    SELECT site_id, source, max(series_no) AS series_no FROM series SEMI JOIN distinct_ones USING (site_id, source)
    GROUP BY site_id, source
    UNION ALL
    SELECT
        site_id, source,
        (coalesce((SELECT max(series_no) >> 32 FROM series), 0) + row_number() OVER (ORDER BY site_id, source)) << 32
    FROM (SELECT DISTINCT site_id, source FROM distinct_ones ANTI JOIN series USING (site_id, source))
)
SELECT
    series_no + row_number() OVER (PARTITION BY site_id, source ORDER BY sku, uom, channel),
    site_id, source, sku, uom, channel, NULL
FROM distinct_ones JOIN last_numbers USING (site_id, source);

-- name: numbers
SELECT place, series_no FROM told_series AS told JOIN series
ON told.site_id = series.site_id AND told.source = series.source AND told.sku = series.sku AND told.uom = series.uom
    AND told.channel IS NOT DISTINCT FROM series.channel;

-- name: define_told_facts
-- Facts with the texts of their series.
CREATE OR REPLACE VIEW told_facts AS
SELECT series.* EXCLUDE first_ms, facts.* EXCLUDE series_no FROM facts JOIN series USING (series_no);
