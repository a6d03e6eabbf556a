-- Series: a source's facts of a SKU at a site that have one unit of measure and one channel.

-- name: add
INSERT INTO series BY NAME FROM strangers;

-- name: last_numbers
SELECT site_id, source::VARCHAR, max(series_no) FROM series GROUP BY ALL;

-- name: numbers
SELECT place, series_no FROM told_series AS told JOIN series
ON told.site_id = series.site_id AND told.source::source = series.source AND told.sku = series.sku AND told.uom = series.uom
    AND told.channel IS NOT DISTINCT FROM series.channel;

-- name: define_told_facts
-- Facts with the texts of their series.
CREATE OR REPLACE VIEW told_facts AS
SELECT series.* EXCLUDE first_ms, facts.* EXCLUDE series_no FROM facts JOIN series USING (series_no);
