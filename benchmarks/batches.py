"""The feed as batch files and manifests, written by the stream stage's own parts: the input of the batch lane."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.feed import DISORDER_MS, SITE, BenchFeed
from runtime.settings import IntakeSettings
from runtime.store_local import LocalStore
from schemas.codecs import schema_fingerprint
from schemas.packed import Packed
from schemas.records import Manifest
from schemas.sources import BATCH_SCHEMAS, Source
from schemas.windows import SiteWindows, SiteZones, WindowSpec
from streams.batch_file import BatchFormat
from streams.batch_writer import BatchWriter
from streams.checkpoint import Checkpoint, Identity, WriterPool
from streams.event_clock import ClockRules
from streams.intake import Intake
from streams.intake_rules import IntakeRules
from streams.partition import Partition
from streams.snapshot import Arrivals
from streams.windowing import assign_windows

WINDOW = WindowSpec.parse("PT5M")
BLOCK_ROWS = 10_000
FAR_FUTURE_MS = 1 << 52
_WORKER = "bench"


def ensure_batches(feed: BenchFeed, cache: Path) -> tuple[Path, list[Manifest]]:
    """The store that holds the feed in on-time batches of five minutes, written now unless it was before."""
    store = cache / f"batches-{feed.events}-{feed.fingerprint}-{schema_fingerprint(BATCH_SCHEMAS[Source.ORDERS])[:8]}"
    index = store / "manifests.json"
    if not index.exists():
        manifests = [manifest for p in range(feed.partitions) for manifest in _write_partition(feed, p, store)]
        index.write_bytes(msgspec.json.encode(manifests))
    return store, msgspec.json.decode(index.read_bytes(), type=list[Manifest])


def _write_partition(feed: BenchFeed, partition: int, folder: Path) -> Iterator[Manifest]:
    form, store = BatchFormat(Source.ORDERS, "deflate"), LocalStore(folder)
    identity = Identity(Source.ORDERS, "bench.orders", partition, "bench", _WORKER, feed.fingerprint)
    writers = WriterPool(lambda site: BatchWriter(form, store, _WORKER, Source.ORDERS, partition, site, BLOCK_ROWS))
    state = Partition.fresh(ClockRules(DISORDER_MS, 60_000, "hold", WINDOW.longest_ms), 0)
    for arrivals in _arrivals(feed, partition):
        state.admit(arrivals)
        for buffer in state.windows.to_spill(BLOCK_ROWS):
            writers.of(buffer.key).add(buffer.take_rows())
            writers.of(buffer.key).flush()
        if state.windows.any_closed:
            yield from _checkpoint(state, identity, form, writers)
    state.drain_to(FAR_FUTURE_MS, "bench")
    yield from _checkpoint(state, identity, form, writers)


def _arrivals(feed: BenchFeed, partition: int) -> Iterator[Arrivals]:
    """The partition's records as decoded fetches."""
    windows = SiteWindows(WINDOW, SiteZones({SITE: "UTC"}))
    intake = Intake(Source.ORDERS, IntakeRules.from_settings(IntakeSettings()))
    base = 0
    for chunk in feed.chunks():
        lines = chunk.lines.filter(pa.array(chunk.partitions == partition)).to_pylist()
        end = base + len(lines)
        decoded = intake.decode(Packed.of(lines), [FAR_FUTURE_MS] * len(lines), np.arange(base, end).tolist())
        yield Arrivals(base, end, assign_windows(decoded.table, windows), [])
        base = end


def _checkpoint(state: Partition, identity: Identity, form: BatchFormat, writers: WriterPool) -> list[Manifest]:
    checkpoint = Checkpoint(identity, state.snapshot(), form, writers)
    checkpoint.write_files()
    state.settle()
    return checkpoint.manifests
