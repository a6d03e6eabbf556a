"""What the stream worker exports, in one place. No site or SKU is a label: their number is not ours to bound."""

from prometheus_client import Counter, Gauge, Histogram

from schemas.sources import Source

#: The first word of what `Pressure` is pressed with.
PRESSURE_KINDS = ("store", "checkpoint", "backlog")
FAILURE_REASONS = ("refused", "fenced", "unknown")

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RECORDS = Counter("velocity_stream_records_total", "Records read", ["source"])
BYTES = Counter("velocity_stream_bytes_total", "Bytes of record values read", ["source"])
DEAD_LETTERS = Counter("velocity_dead_letters_total", "Records refused", ["source", "error_class"])
CORRECTIONS = Counter("velocity_corrections_total", "Records announced in corrections", ["source"])
BATCHED = Counter("velocity_batched_total", "Records announced in on-time batches", ["source"])
BATCHES = Counter("velocity_batches_total", "Batch files announced", ["source", "kind"])
FILE_BYTES = Counter("velocity_batch_file_bytes_total", "Bytes of batch files announced", ["source"])
CHECKPOINTS = Counter("velocity_checkpoints_total", "Checkpoints committed", ["source"])
CHECKPOINT_FAILURES = Counter("velocity_checkpoint_failures_total", "Checkpoints refused or lost", ["reason"])
RECOVERIES = Counter("velocity_recoveries_total", "Partitions recovered", ["source"])
GAPS = Counter("velocity_gap_offsets_total", "Offsets that retention removed before they were read", ["source"])
SEEK_BACKS = Counter(
    "velocity_seek_backs_total", "Fetches that went missing on the way and were read again", ["source"]
)

FETCH_SECONDS = Histogram(
    "velocity_fetch_seconds", "Waiting for and parsing a round of fetches that brought records", buckets=_SECONDS
)
DECODE_SECONDS = Histogram("velocity_fetch_decode_seconds", "Decoding and checking one fetch", buckets=_SECONDS)
ENCODE_SECONDS = Histogram("velocity_encode_seconds", "Encoding rows as blocks of a batch file", buckets=_SECONDS)
FINISH_SECONDS = Histogram(
    "velocity_file_finish_seconds", "Making a batch file durable: last write, fsync, rename", buckets=_SECONDS
)
WRITE_SECONDS = Histogram("velocity_batch_write_seconds", "Writing a checkpoint's batch files", buckets=_SECONDS)
TRANSACTION_SECONDS = Histogram("velocity_transaction_seconds", "One checkpoint transaction", buckets=_SECONDS)

PARTITIONS = Gauge("velocity_owned_partitions", "Source partitions owned and recovered")
REPLAYING = Gauge("velocity_replaying_partitions", "Source partitions that replay their open windows")
OPEN_WINDOWS = Gauge("velocity_open_windows", "Open windows over all partitions and sites")
BUFFERED_ROWS = Gauge("velocity_buffered_rows", "Rows of open windows held in memory")
PENDING_BYTES = Gauge("velocity_pending_bytes", "Corrections and dead letters that wait for a checkpoint")
OLDEST_CHECKPOINT = Gauge("velocity_checkpoint_age_seconds", "Longest time that news of a partition wait for a commit")
LAG = Gauge("velocity_source_lag_records", "Offsets between the end of the log and the position", ["source"])
PAUSED = Gauge("velocity_backpressure_active", "1 while fetches are not taken")
PRESSURES = Gauge("velocity_backpressure_reasons", "Reasons for which no fetch is taken", ["kind"])
EVENT_TIME_LAG = Gauge("velocity_event_time_lag_seconds", "Wall clock minus the lowest frontier of a busy partition")


def _begin_at_zero() -> None:
    """A rate needs a zero to begin with: what happens for the first time would not show otherwise."""
    for source in Source:
        for counter in (RECORDS, BYTES, CORRECTIONS, BATCHED, FILE_BYTES, CHECKPOINTS, RECOVERIES, GAPS, SEEK_BACKS):
            counter.labels(source.value)
        LAG.labels(source.value)
    for kind in PRESSURE_KINDS:
        PRESSURES.labels(kind)
    for reason in FAILURE_REASONS:
        CHECKPOINT_FAILURES.labels(reason)


_begin_at_zero()
