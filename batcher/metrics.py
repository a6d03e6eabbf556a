"""What the batch worker exports, in one place. No SKU is a label; a site is one where an operator has to act on it."""

from prometheus_client import Counter, Gauge, Histogram

from batcher.regulation import Reason
from batcher.schedule.nights import State
from schemas.sources import Source

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

BATCH_SECONDS = Histogram(
    "batch_processing_duration_seconds",
    "From the first file of a group of batches being read to the commit of their facts",
    buckets=_SECONDS,
)
CHUNK_SUCCESS = Gauge(
    "chunk_success_rate",
    "Succeeded over attempted chunks of the site's current or last publication (sink `topic`) or delivery",
    ["site_id", "sink"],
)
CONCURRENCY = Gauge("concurrency_utilization", "Batch files being read over how many may be, 0 to 1")

FACTS = Counter("velocity_facts_loaded_total", "Facts that were new", ["source"])
DUPLICATES = Counter("velocity_facts_duplicate_total", "Records whose fact was known", ["source"])
CONFLICTS = Counter("velocity_facts_conflicting_total", "Records whose id had another body", ["source"])
BATCHES_LOADED = Counter("velocity_batches_loaded_total", "Batches loaded", ["source", "kind"])
LOAD_FAILURES = Counter("velocity_batch_load_failures_total", "Attempts to load a batch that failed", ["reason"])
READ_BYTES = Counter("velocity_batch_read_bytes_total", "Bytes of batch files read and verified")
RUNS = Counter("velocity_runs_total", "Calculations of a site", ["cause"])
PUBLISHED = Counter("velocity_coefficients_published_total", "Records sent to the coefficients topic")
PUBLICATION_FAILURES = Counter("velocity_publication_failures_total", "Chunks that could not be published")
OWNERSHIPS = Counter("velocity_batch_assignments_total", "Partitions of the batches topic taken over")

READ_SECONDS = Histogram("velocity_batch_read_seconds", "Reading, verifying and decoding a batch", buckets=_SECONDS)
INSERT_SECONDS = Histogram("velocity_insert_seconds", "One transaction of facts", buckets=_SECONDS)
RECALCULATION_SECONDS = Histogram("velocity_recalculation_seconds", "One calculation of a site", buckets=_SECONDS)
PUBLISH_SECONDS = Histogram("velocity_publish_seconds", "One transaction of coefficients", buckets=_SECONDS)
COMPUTE_SECONDS = Histogram("velocity_compute_seconds", "One answer to /api/v1/velocity/compute", buckets=_SECONDS)
COMPUTE_REQUESTS = Gauge("velocity_compute_requests", "Requests that are being computed or wait for their turn")
COMPUTE_REFUSED = Counter("velocity_compute_refused_total", "Requests told to come back later", ["reason"])

OWNED = Gauge("velocity_batch_owned_partitions", "Partitions of the batches topic owned")
READY = Gauge("velocity_batch_ready_partitions", "Owned partitions that have caught up")
CATCH_UP = Gauge("velocity_catch_up_remaining_offsets", "Offsets of the batches topic left until caught up")
QUEUED = Gauge("velocity_load_queue_depth", "Batches that wait to be read")
HELD_SITES = Gauge("velocity_held_sites", "Sites with a batch that cannot be loaded")
HELD_BATCHES = Gauge("velocity_held_batches", "Batches that cannot be loaded")
HELD_FACTS = Gauge("velocity_held_facts", "Facts that wait for reference data")
OUTBOX = Gauge("velocity_outbox_records", "Coefficients that wait to be published")
DUE_SITES = Gauge("velocity_due_sites", "Sites that are due to be calculated")
LIMIT = Gauge("velocity_read_concurrency_limit", "How many batch files may be read at once now")
SCHEDULE_OPEN = Gauge("velocity_schedule_open", "1 while a site may be calculated and delivered to", ["site_id"])
NIGHT_DONE = Gauge("velocity_schedule_night_done", "1 once the job of a site's present night is done", ["site_id"])
OVERDUE = Gauge(
    "velocity_schedule_overdue_seconds",
    "Since the off-peak window of a site's first night ended that is not made up for; 0 without one",
    ["site_id"],
)
DEFERRED_SITES = Gauge("velocity_schedule_deferred_sites", "Due sites that wait for the end of a blackout")
NIGHTS = Counter("velocity_schedule_nights_total", "Nights by what became of them", ["state"])
LOOP_LAG = Gauge("velocity_loop_lag_seconds", "By how much the event loop was late")
MEMORY = Gauge("velocity_resident_memory_bytes", "Resident memory of the worker")
MEMORY_LIMIT = Gauge("velocity_memory_limit_bytes", "How much resident memory the worker may have: batch.rss_limit")
MEMORY_HOLDS = Gauge("velocity_memory_hold", "1 while no file is begun for want of memory")
MEMORY_RELIEFS = Counter("velocity_memory_reliefs_total", "How often caches were dropped for want of memory")
DATABASE_MEMORY = Gauge("velocity_database_memory_bytes", "Memory of DuckDB's queries and transactions")
DATABASE_LIMIT = Gauge("velocity_database_memory_limit_bytes", "How much DuckDB may hold when memory is not short")
LIMIT_CHANGES = Counter("velocity_batch_concurrency_changes_total", "How often the limit of readers moved", ["reason"])
LIMIT_REASON = Gauge("velocity_batch_concurrency_reason", "1 for why the limit of readers moved last", ["reason"])
STRAINED = Gauge("velocity_batch_strained", "1 while the worker is strained by it", ["reason"])

DELIVERED_ROWS = Counter("velocity_delivered_rows_total", "SKUs that a sink has acknowledged", ["sink"])
DELIVERED_CHUNKS = Counter("velocity_delivery_chunks_total", "Chunks by what became of them", ["sink", "outcome"])
DELIVERY_ATTEMPTS = Counter("velocity_delivery_attempts_total", "Requests to a sink by outcome", ["sink", "outcome"])
DELIVERY_SECONDS = Histogram("velocity_delivery_seconds", "One request to a sink", ["sink"], buckets=_SECONDS)
DELIVERY_WAITS = Counter("velocity_delivery_wait_seconds_total", "What chunks waited for", ["sink", "reason"])
CIRCUIT = Gauge(
    "velocity_delivery_circuit_state", "1 for the state of an endpoint's circuit", ["sink", "endpoint", "state"]
)
DELIVERY_BACKLOG = Gauge("velocity_delivery_backlog_skus", "SKUs of deliveries in hand, not acknowledged", ["sink"])
DELIVERY_AGE = Gauge(
    "velocity_delivery_age_seconds",
    "For how long a published run has been there that the sink has not acknowledged; 0 if it has",
    ["sink", "site_id"],
)
SINK_STOPPED = Gauge("velocity_sink_stopped", "1 while a sink is stopped for a drift of its API", ["sink"])
FAILED_CHUNKS = Gauge("velocity_delivery_failed_chunks", "Chunks that were given up and are not settled", ["sink"])


def _begin_at_zero() -> None:
    """A rate needs a zero to begin with: a first conflict would not show otherwise."""
    for source in Source:
        for metric in (FACTS, DUPLICATES, CONFLICTS):
            metric.labels(source.value)
    for reason in Reason:
        LIMIT_CHANGES.labels(reason)
    for reason in ("busy", "deadline"):
        COMPUTE_REFUSED.labels(reason)
    for state in (State.DONE, State.MISSED, State.OVERRAN):
        NIGHTS.labels(state.value)


_begin_at_zero()
