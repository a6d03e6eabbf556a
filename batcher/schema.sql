-- What a batch worker knows. Times are UTC milliseconds; intervals are half-open.
-- A step is never changed once it is released: a new one is added, and older files catch up when they are opened.

-- name: step_4
CREATE TYPE source AS ENUM ('orders', 'returns', 'cycle-counts');

CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

-- The next offset to consume of each topic partition: changed in one transaction with what was consumed.
CREATE TABLE offsets (
    topic VARCHAR NOT NULL, partition INTEGER NOT NULL, next_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Sites that batches have named, and the partition of the batches topic that their manifests come from.
CREATE TABLE sites (site_id VARCHAR PRIMARY KEY, partition INTEGER NOT NULL);

-- The catalogue: manifests field by field, where they stood on the batches topic, and what became of their records.
CREATE TABLE batches (
    batch_no INTEGER PRIMARY KEY, batch_id VARCHAR UNIQUE NOT NULL,
    source source NOT NULL, source_topic VARCHAR NOT NULL, source_partition INTEGER NOT NULL, site_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, windows STRUCT(start BIGINT, "end" BIGINT)[] NOT NULL,
    record_count BIGINT NOT NULL, first_offset BIGINT NOT NULL, last_offset BIGINT NOT NULL,
    min_event_time BIGINT NOT NULL, max_event_time BIGINT NOT NULL,
    path VARCHAR NOT NULL, bytes BIGINT NOT NULL, sha256 VARCHAR NOT NULL, schema_fingerprint VARCHAR NOT NULL,
    codec VARCHAR NOT NULL, block_count INTEGER NOT NULL, closed_by VARCHAR NOT NULL, checkpoint_seq BIGINT NOT NULL,
    settings_hash VARCHAR NOT NULL, pipeline_version VARCHAR NOT NULL, traceparent VARCHAR,
    partition INTEGER NOT NULL, "offset" BIGINT NOT NULL,
    facts_new BIGINT NOT NULL, duplicates BIGINT NOT NULL, conflicts BIGINT NOT NULL
);

-- What facts have in common, told once: they name their series by its number. The upper half of a number is that of the
-- site and source, so that those of one site and source are neighbours. `first_ms` is the event time of the earliest fact,
-- held or not, for which facts are held is up to the reference data of the moment; null if none counts any more.
CREATE TABLE series (
    series_no BIGINT NOT NULL, site_id VARCHAR NOT NULL, source source NOT NULL,
    sku VARCHAR NOT NULL, uom VARCHAR NOT NULL, channel VARCHAR, first_ms BIGINT
);

-- One row per (source, site_id, event_id). There is no index on them: it would have to fit into memory and be kept up row
-- by row. `key_hash` is that of the id and finds them, in the batches that `known_keys.py` names; `body_hash` is one of all
-- fields of the event, sorted by name: both are those of `row_hash.py`. Facts are numbers only: the texts that calculations
-- need are those of the series, and what else the event said is read from the file of its batch where it matters, see
-- `bodies.py`. The `quantity` of a cycle count is its variance.
CREATE TABLE facts (
    series_no BIGINT NOT NULL, event_time_ms BIGINT NOT NULL,
    quantity DECIMAL(18, 3) NOT NULL, book_quantity DECIMAL(18, 3),
    batch_no INTEGER NOT NULL, key_hash UBIGINT NOT NULL, body_hash UBIGINT NOT NULL
);

-- Bodies that lost to another one under the same id; like facts, and each body once.
CREATE TABLE conflicts AS SELECT *, ''::VARCHAR AS event_id FROM facts LIMIT 0;

-- Reference data, under the keys of its topic. A null site or SKU means all, a null `valid_from_ms` always.
CREATE TABLE items (
    key VARCHAR PRIMARY KEY, sku VARCHAR NOT NULL, uom VARCHAR NOT NULL,
    base_units DECIMAL(12, 6) NOT NULL, valid_from_ms BIGINT
);
CREATE TABLE promotions (
    key VARCHAR PRIMARY KEY, promo_id VARCHAR NOT NULL, site_id VARCHAR, sku VARCHAR,
    start_ms BIGINT, end_ms BIGINT, uplift DECIMAL(12, 6) NOT NULL
);
CREATE TABLE channels (
    key VARCHAR PRIMARY KEY, site_id VARCHAR, channel VARCHAR NOT NULL,
    weight DECIMAL(12, 6) NOT NULL, valid_from_ms BIGINT
);
CREATE TABLE seasons (
    key VARCHAR PRIMARY KEY, site_id VARCHAR, sku VARCHAR, month INTEGER NOT NULL,
    index DECIMAL(12, 6) NOT NULL, valid_from_ms BIGINT
);

CREATE TABLE complete_windows (
    site_id VARCHAR NOT NULL, start_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL,
    PRIMARY KEY (site_id, start_ms, end_ms)
);

-- Every calculation ever made. Those that have their results are current: of each (site, horizon, as_of) the last one,
-- as long as it is not outdated.
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL,
    as_of_ms BIGINT NOT NULL, start_ms BIGINT NOT NULL, trigger VARCHAR NOT NULL, calculated_at_ms BIGINT NOT NULL,
    dataset_hash VARCHAR NOT NULL, reference_hash VARCHAR NOT NULL,
    complete_windows BIGINT NOT NULL, windows BIGINT NOT NULL, skus BIGINT NOT NULL, current BOOLEAN NOT NULL,
    former_run_id VARCHAR, recovered VARCHAR -- where the stable classes of before are from: see `stability.Former`
);

CREATE TABLE results (
    site_id VARCHAR NOT NULL, sku VARCHAR NOT NULL, horizon VARCHAR NOT NULL, as_of_ms BIGINT NOT NULL,
    order_lines BIGINT NOT NULL,
    units_ordered DECIMAL(38, 3) NOT NULL, units_returned DECIMAL(38, 3) NOT NULL, net_units DECIMAL(38, 3) NOT NULL,
    lines_per_day DOUBLE NOT NULL, units_per_day DOUBLE NOT NULL,
    normalized_lines DECIMAL(38, 9) NOT NULL, velocity_coefficient DOUBLE NOT NULL,
    abc_class VARCHAR NOT NULL, demand_cv DOUBLE, xyz_class VARCHAR NOT NULL,
    variance_units DECIMAL(38, 3) NOT NULL, inventory_accuracy DOUBLE,
    first_seen_ms BIGINT NOT NULL, provisional BOOLEAN NOT NULL, coverage DOUBLE, run_id VARCHAR NOT NULL,
    forward_lines DECIMAL(38, 9) NOT NULL, stable_class VARCHAR NOT NULL, count_accuracy DOUBLE,
    pending_runs INTEGER NOT NULL -- in a row in which `abc_class` has been the same, but not the stable one
);

-- What the coefficients topic holds per key, once the outbox is through: a row of results as it is published.
CREATE TABLE published (
    partition INTEGER NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL, sku VARCHAR NOT NULL,
    order_lines BIGINT NOT NULL, units_ordered DOUBLE NOT NULL, units_returned DOUBLE NOT NULL, net_units DOUBLE NOT NULL,
    lines_per_day DOUBLE NOT NULL, units_per_day DOUBLE NOT NULL,
    normalized_lines DOUBLE NOT NULL, velocity_coefficient DOUBLE NOT NULL,
    abc_class VARCHAR NOT NULL, demand_cv DOUBLE, xyz_class VARCHAR NOT NULL,
    variance_units DOUBLE NOT NULL, inventory_accuracy DOUBLE,
    first_seen_ms BIGINT NOT NULL, provisional BOOLEAN NOT NULL, coverage DOUBLE,
    forward_lines DOUBLE NOT NULL, stable_class VARCHAR NOT NULL, count_accuracy DOUBLE
);

-- The newest `as_of` that was published, and the run whose results the published rows are; null if that is not known.
CREATE TABLE published_runs (
    site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL, partition INTEGER NOT NULL,
    as_of_ms BIGINT NOT NULL, run_id VARCHAR,
    PRIMARY KEY (site_id, horizon)
);

-- Records that are due on the coefficients topic, in order; a null value is a tombstone.
CREATE SEQUENCE outbox_seq;
CREATE TABLE outbox (
    seq BIGINT NOT NULL DEFAULT nextval('outbox_seq'), partition INTEGER NOT NULL, key VARCHAR NOT NULL, value VARCHAR
);

-- Sums over facts, changed in one transaction with them, so that no calculation reads what is before its horizon: they
-- are what `fact_sums.sql` says. Hashes are added up as numbers, which knows no order.
CREATE TABLE fact_days (
    site_id VARCHAR NOT NULL, source source NOT NULL, day INTEGER NOT NULL, -- UTC day of event time, from 1970-01-01
    facts BIGINT NOT NULL, body_hashes HUGEINT NOT NULL
);

-- What became of a site's nights, each named by the local day on which its off-peak window begins. Lost with the file:
-- then the job of the present night is made once more, which changes nothing.
CREATE TABLE nights (
    site_id VARCHAR NOT NULL, night DATE NOT NULL, state VARCHAR NOT NULL,
    started_at_ms BIGINT, finished_at_ms BIGINT, why VARCHAR,
    PRIMARY KEY (site_id, night)
);

-- Stable classes that the coefficients topic held when its partition was taken over, newer than those of all runs here.
CREATE TABLE recovered_classes (
    site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL, sku VARCHAR NOT NULL,
    as_of_ms BIGINT NOT NULL, stable_class VARCHAR NOT NULL
);

-- Delivery. What each sink is known to have: the hash of a row as it was told, null while that is in doubt.
CREATE TABLE sink_rows (
    sink VARCHAR NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL, sku VARCHAR NOT NULL, content_hash UHUGEINT
);

-- The last run all of whose chunks a sink has acknowledged, and since when.
CREATE TABLE sink_runs (
    sink VARCHAR NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL, as_of_ms BIGINT NOT NULL, acknowledged_at_ms BIGINT NOT NULL
);

-- The last delivery that was planned; it is in hand while it has chunks.
CREATE TABLE deliveries (
    sink VARCHAR NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL, as_of_ms BIGINT NOT NULL, base VARCHAR NOT NULL, planned_at_ms BIGINT NOT NULL
);

-- Frozen as they are sent: the results of a run may be replaced while it is being delivered.
CREATE TABLE delivery_chunks (
    sink VARCHAR NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL, number INTEGER NOT NULL,
    key VARCHAR NOT NULL, body BLOB NOT NULL USING COMPRESSION zstd, rows BIGINT NOT NULL, removed BIGINT NOT NULL,
    progress VARCHAR NOT NULL, attempts INTEGER NOT NULL, error VARCHAR
);

-- The SKUs of these chunks, and the hashes of their rows; null for one that is to be removed.
CREATE TABLE delivery_rows (
    sink VARCHAR NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL, number INTEGER NOT NULL,
    sku VARCHAR NOT NULL, content_hash UHUGEINT
);

-- Sinks that speak another version of the agreement, until a person says that they do not any more.
CREATE TABLE stopped_sinks (sink VARCHAR PRIMARY KEY, reason VARCHAR NOT NULL, stopped_at_ms BIGINT NOT NULL);

-- Chunks that failed and are not settled yet, or whose newest record (JSON) has not been `told` to its topic.
CREATE TABLE failed_deliveries (
    chunk_id VARCHAR NOT NULL, sink VARCHAR NOT NULL, site_id VARCHAR NOT NULL, horizon VARCHAR NOT NULL,
    record VARCHAR NOT NULL, settled BOOLEAN NOT NULL, told BOOLEAN NOT NULL
);
