-- What became of each site's nights.

-- name: newest
SELECT site_id, night, state, started_at_ms, finished_at_ms, why FROM nights
WHERE site_id = $site_id ORDER BY night DESC LIMIT $row_limit;

-- name: put
INSERT OR REPLACE INTO nights (site_id, night, state, started_at_ms, finished_at_ms, why)
VALUES ($site_id, $night, $state, $started_at_ms, $finished_at_ms, $why);

-- name: remove
DELETE FROM nights WHERE site_id = $site_id AND night = $night;
