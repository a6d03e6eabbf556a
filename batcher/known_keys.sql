-- The facts that are there already under the ids of rows that have come.

-- name: no_known
CREATE OR REPLACE TEMP TABLE known AS SELECT key_hash, body_hash, rowid AS fact_row FROM facts LIMIT 0;

-- name: add_known
-- Facts have come in the order of their batches, so that all but the named ones are passed over unread.
INSERT INTO known
SELECT key_hash, body_hash, rowid FROM facts SEMI JOIN suspects USING (key_hash)
WHERE batch_no BETWEEN $first AND $last;

-- name: known_hashes
SELECT DISTINCT key_hash FROM known;

-- name: facts_per_batch
SELECT batch_no, count(*) AS facts FROM facts GROUP BY batch_no ORDER BY batch_no;

-- name: listed_hashes
SELECT key_hash, batch_no FROM facts WHERE batch_no < $unlisted_from;
