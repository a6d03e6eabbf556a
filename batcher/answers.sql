-- Answers of the compute API, written as JSON here, off the event loop and without a Python object per value.

-- name: results_of
-- One JSON object per row of `asked` (place, sku, key), in the order of `place`: the columns of the results that the query
-- in braces finds, with the SKU as it was asked for. Decimals keep their places.
WITH found AS ({results}),
known AS (SELECT sku AS key, found AS columns FROM found)
SELECT string_agg(
    CASE
        WHEN columns IS NULL THEN to_json({{'sku': asked.sku, 'status': 'unknown'}})
        ELSE to_json(struct_insert(struct_update(columns, sku := asked.sku), status := 'ok'))
    END, ',' ORDER BY place
) FROM asked LEFT JOIN known USING (key);
