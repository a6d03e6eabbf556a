"""What the stream worker exports, in one place. No site or SKU is a label: their number is not ours to bound."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RECORDS = Counter("velocity_stream_records_total", "Records read", ["source"])
BYTES = Counter("velocity_stream_bytes_total", "Bytes of record values read", ["source"])
DEAD_LETTERS = Counter("velocity_dead_letters_total", "Records refused", ["source", "error_class"])
CORRECTIONS = Counter("velocity_corrections_total", "Records announced in corrections", ["source"])
BATCHED = Counter("velocity_batched_total", "Records announced in on-time batches", ["source"])
BATCHES = Counter("velocity_batches_total", "Batch files announced", ["source", "kind"])
CHECKPOINTS = Counter("velocity_checkpoints_total", "Checkpoints committed", ["source"])
CHECKPOINT_FAILURES = Counter("velocity_checkpoint_failures_total", "Checkpoints refused or lost", ["reason"])
RECOVERIES = Counter("velocity_recoveries_total", "Partitions recovered", ["source"])
GAPS = Counter("velocity_gap_offsets_total", "Offsets that retention removed before they were read", ["source"])
SEEK_BACKS = Counter(
    "velocity_seek_backs_total", "Fetches that went missing on the way and were read again", ["source"]
)

DECODE_SECONDS = Histogram("velocity_fetch_decode_seconds", "Decoding and checking one fetch", buckets=_SECONDS)
WRITE_SECONDS = Histogram("velocity_batch_write_seconds", "Writing a checkpoint's batch files", buckets=_SECONDS)
TRANSACTION_SECONDS = Histogram("velocity_transaction_seconds", "One checkpoint transaction", buckets=_SECONDS)

PARTITIONS = Gauge("velocity_owned_partitions", "Source partitions owned and recovered")
REPLAYING = Gauge("velocity_replaying_partitions", "Source partitions that replay their open windows")
OPEN_WINDOWS = Gauge("velocity_open_windows", "Open windows over all partitions and sites")
BUFFERED_ROWS = Gauge("velocity_buffered_rows", "Rows of open windows held in memory")
PENDING_BYTES = Gauge("velocity_pending_bytes", "Corrections and dead letters that wait for a checkpoint")
OLDEST_CHECKPOINT = Gauge("velocity_checkpoint_age_seconds", "Age of the oldest checkpoint among partitions with news")
PAUSED = Gauge("velocity_backpressure_active", "1 while fetches are not taken")
EVENT_TIME_LAG = Gauge("velocity_event_time_lag_seconds", "Wall clock minus the lowest frontier of a busy partition")
