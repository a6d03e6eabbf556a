"""What the worker's partitions are like at this moment, as gauges."""

from collections.abc import Sequence

from streams import metrics
from streams.owned import OwnedPartition


def measure(partitions: Sequence[OwnedPartition], now: float, wall_ms: int) -> None:
    """Set the gauges; `now` in monotonic seconds, as the news of partitions are."""
    metrics.PARTITIONS.set(len(partitions))
    metrics.REPLAYING.set(sum(owned.state.replaying for owned in partitions))
    metrics.OPEN_WINDOWS.set(sum(len(owned.state.windows) for owned in partitions))
    metrics.BUFFERED_ROWS.set(sum(owned.state.windows.buffered_rows for owned in partitions))
    metrics.PENDING_BYTES.set(sum(owned.state.pending.bytes for owned in partitions))
    metrics.OLDEST_CHECKPOINT.set(max((now - owned.news_since for owned in partitions), default=0.0))
    frontiers = [owned.state.clock.frontier for owned in partitions if not owned.state.clock.idle]
    lags_ms = [wall_ms - frontier for frontier in frontiers if frontier is not None]
    metrics.EVENT_TIME_LAG.set(max(lags_ms, default=0) / 1000)
