-- The index of dead letters. Everything in it can be read again from the dead-letter topic and the audit log.
--
-- `place` is where a record lies in its topic: partition << 40 | offset. `origin` is the id of a letter as a number:
-- partitions.no << 40 | offset, where an id that is no topic/partition/offset is a "topic" of its own.

-- name: schema
CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE expired (state INTEGER PRIMARY KEY, letters INTEGER NOT NULL);
CREATE TABLE partitions (no INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, UNIQUE (topic, partition));
CREATE TABLE groups (
    no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL, error_class TEXT NOT NULL, path TEXT NOT NULL, producer TEXT NOT NULL,
    structure TEXT NOT NULL, pattern TEXT NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, replayed INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0, parked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE hours (
    group_no INTEGER, hour INTEGER, letters INTEGER NOT NULL, waiting INTEGER NOT NULL, PRIMARY KEY (group_no, hour)
) WITHOUT ROWID;
CREATE TABLE letters (
    place INTEGER PRIMARY KEY, origin INTEGER NOT NULL, group_no INTEGER NOT NULL, state INTEGER NOT NULL,
    timestamp INTEGER NOT NULL, posted_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
    root INTEGER,                    -- null where the letter is the first of its chain
    first_failed_at INTEGER NOT NULL,
    size INTEGER,                    -- of the whole value; null is a tombstone
    site TEXT, sku TEXT, stage TEXT NOT NULL, path TEXT, -- null where it is that of the group
    message TEXT NOT NULL,
    value BLOB                       -- its beginning
);
CREATE INDEX letters_by_root ON letters (root) WHERE root IS NOT NULL;
CREATE TABLE strangers (place INTEGER PRIMARY KEY);
CREATE TABLE acts (
    place INTEGER PRIMARY KEY, origin INTEGER NOT NULL, root INTEGER, at INTEGER NOT NULL, seq INTEGER NOT NULL,
    who TEXT NOT NULL, action TEXT NOT NULL, why TEXT NOT NULL, run TEXT, recipe TEXT, recipe_sha256 TEXT,
    sent_to TEXT, sent_origin INTEGER, -- the id that the record has if it is refused once more
    failed_again INTEGER NOT NULL DEFAULT 0 -- it was, and that letter has expired
);
CREATE INDEX acts_by_origin ON acts (origin);
CREATE INDEX acts_by_root ON acts (root) WHERE root IS NOT NULL;

-- name: letter_indexes
-- Not part of the schema: a new index is filled without them, which takes half the time.
CREATE INDEX IF NOT EXISTS letters_by_origin ON letters (origin);
CREATE INDEX IF NOT EXISTS letters_by_time ON letters (timestamp);
CREATE INDEX IF NOT EXISTS letters_by_group ON letters (group_no, timestamp);

-- name: identity
SELECT name, value FROM identity;

-- name: set_identity
INSERT OR REPLACE INTO identity VALUES (?, ?);

-- name: positions
SELECT partition, next FROM positions WHERE topic = ?;

-- name: position
SELECT next FROM positions WHERE topic = ? AND partition = ?;

-- name: set_position
INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = max(next, excluded.next);

-- name: add_partition
INSERT INTO partitions (topic, partition) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: partition_no
SELECT no FROM partitions WHERE topic = ? AND partition = ?;

-- name: partition
SELECT topic, partition FROM partitions WHERE no = ?;

-- name: add_group
INSERT INTO groups (id, topic, error_class, path, producer, structure, pattern) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: group_no
SELECT no FROM groups WHERE id = ?;

-- name: add_letters
INSERT INTO letters VALUES {rows};

-- name: add_strangers
INSERT INTO strangers VALUES (?);

-- name: add_acts
INSERT INTO acts (place, origin, root, at, seq, who, action, why, run, recipe, recipe_sha256, sent_to, sent_origin)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: last_actions
-- What was last done about each of some letters.
SELECT origin, action, max(place) FROM acts WHERE origin IN (SELECT value FROM json_each(?)) GROUP BY origin;

-- name: has_acts
SELECT EXISTS (SELECT 1 FROM acts);

-- name: letters_of_origins
SELECT place, group_no, state, posted_at, origin FROM letters WHERE origin IN (SELECT value FROM json_each(?));

-- name: set_state
UPDATE letters SET state = ? WHERE place = ?;

-- name: count_states
UPDATE groups SET waiting = waiting + ?, replayed = replayed + ?, discarded = discarded + ?, parked = parked + ?
WHERE no = ?;

-- name: count_hour
INSERT INTO hours VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET letters = letters + excluded.letters, waiting = waiting + excluded.waiting;

-- name: gone
-- Letters of a partition below an offset, by what counts them.
SELECT group_no, state, posted_at / 3600000 * 3600000, count(*) FROM letters
WHERE place >= ? AND place < ? GROUP BY 1, 2, 3;

-- name: remember_failures
UPDATE acts SET failed_again = 1
WHERE sent_origin IN (SELECT origin FROM letters WHERE root IS NOT NULL AND place >= ? AND place < ?);

-- name: forget_letters
DELETE FROM letters WHERE place >= ? AND place < ?;

-- name: forget_strangers
DELETE FROM strangers WHERE place >= ? AND place < ?;

-- name: count_expired
INSERT INTO expired VALUES (?, ?) ON CONFLICT DO UPDATE SET letters = letters + excluded.letters;

-- name: forget_empty_hours
DELETE FROM hours WHERE letters <= 0;

-- name: forget_empty_groups
DELETE FROM groups WHERE waiting + replayed + discarded + parked = 0;

-- name: expired
SELECT state, letters FROM expired;

-- name: strangers
SELECT count(*) FROM strangers;

-- name: groups
SELECT g.*, (SELECT min(timestamp) FROM letters WHERE group_no = g.no),
    (SELECT max(timestamp) FROM letters WHERE group_no = g.no),
    (SELECT min(hour) FROM hours WHERE group_no = g.no AND waiting > 0)
FROM groups g WHERE {where} ORDER BY waiting DESC, waiting + replayed + discarded + parked DESC, id;

-- name: count_groups
SELECT g.error_class, g.topic, sum(waiting), sum(replayed), sum(discarded), sum(parked),
    min((SELECT min(hour) FROM hours WHERE group_no = g.no AND waiting > 0))
FROM groups g WHERE {where} GROUP BY 1, 2;

-- name: count_letters
-- As `count_groups`, but only letters that are meant are counted.
SELECT g.error_class, g.topic, sum(l.state = 0), sum(l.state = 1), sum(l.state = 2), sum(l.state = 3),
    min(CASE WHEN l.state = 0 THEN l.posted_at / 3600000 * 3600000 END)
FROM letters l JOIN groups g ON g.no = l.group_no WHERE {where} GROUP BY 1, 2;

-- name: groups_of_letters
-- As `groups`, but only letters that are meant are counted.
SELECT g.no, g.id, g.topic, g.error_class, g.path, g.producer, g.structure, g.pattern,
    sum(l.state = 0), sum(l.state = 1), sum(l.state = 2), sum(l.state = 3), min(l.timestamp), max(l.timestamp),
    min(CASE WHEN l.state = 0 THEN l.posted_at / 3600000 * 3600000 END)
FROM letters l JOIN groups g ON g.no = l.group_no
WHERE {where} GROUP BY g.no ORDER BY 9 DESC, count(*) DESC, g.id;

-- name: continued_letters
SELECT count(*) FROM letters l JOIN groups g ON g.no = l.group_no WHERE l.root IS NOT NULL AND {where};

-- name: continued_chains
-- Chains of letters that are meant, whose first letter is not.
WITH roots AS (
    SELECT DISTINCT l.root AS root FROM letters l JOIN groups g ON g.no = l.group_no WHERE l.root IS NOT NULL AND {where}
)
SELECT count(*) FROM roots WHERE NOT EXISTS (
    SELECT 1 FROM letters l JOIN groups g ON g.no = l.group_no WHERE l.origin = roots.root AND l.root IS NULL AND {where}
);

-- name: waiting_of_groups_before
SELECT sum(waiting) FROM hours WHERE hour < {instant} AND group_no IN (SELECT no FROM groups g WHERE {where});

-- name: waiting_before
SELECT count(*) FROM letters l JOIN groups g ON g.no = l.group_no
WHERE l.state = 0 AND l.posted_at < {instant} AND {where};

-- name: letters
SELECT l.*, g.id, g.topic, g.error_class, g.path, g.producer
FROM letters l JOIN groups g ON g.no = l.group_no
WHERE {where} ORDER BY l.timestamp DESC, l.place DESC LIMIT {limit};

-- name: places
SELECT l.place FROM letters l JOIN groups g ON g.no = l.group_no WHERE {where} ORDER BY l.place;

-- name: unsure_places
-- Letters whose value is longer than what the index has, and in that is not the text that is looked for.
SELECT l.place FROM letters l JOIN groups g ON g.no = l.group_no
WHERE l.size > {kept} AND {where};

-- name: acts
-- With whether the record that was sent is a dead letter itself.
SELECT a.place, a.origin, a.root, at, seq, who, action, why, run, recipe, recipe_sha256, sent_to,
    failed_again OR (sent_origin IS NOT NULL AND EXISTS (SELECT 1 FROM letters WHERE origin = a.sent_origin))
FROM acts a WHERE {where} ORDER BY place;

-- name: hours
SELECT hour, letters FROM hours WHERE group_no = (SELECT no FROM groups WHERE id = ?);

-- name: hours_of_all
SELECT group_no, hour, letters FROM hours WHERE hour >= ?;
