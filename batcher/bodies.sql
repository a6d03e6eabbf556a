-- Whole events, from the files of their batches.

-- name: place
SELECT path, bytes, sha256 FROM batches WHERE batch_no = $batch_no;

-- name: pick
-- Of a batch's events those that are wanted, each once.
SELECT DISTINCT ON (batch_no, key_hash, body_hash) told_events.*
FROM told_events SEMI JOIN wanted_bodies USING (batch_no, key_hash, body_hash);
