-- What the worker's gauges show of the database.

-- name: outbox_records
SELECT count(*) FROM outbox;

-- name: held_facts
SELECT count(*) FROM converted_facts($require_known_items) WHERE base_units IS NULL;

-- name: content_mark
-- Changes with whatever can change how many facts are held.
SELECT coalesce((SELECT max(batch_no) FROM batches), 0), (SELECT value FROM meta WHERE key = 'reference_hash');
