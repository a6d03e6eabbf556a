"""How far the positions are behind the ends of the logs: one request for all partitions, every few seconds.

The ends that fetches bring along would cost nothing, but stand still under backpressure, when the lag counts most.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog
from aiokafka import TopicPartition

from schemas.sources import Source
from streams import metrics
from streams.fetch_lane import FetchLane
from streams.owned import OwnedPartition

log = structlog.get_logger(__name__)

EVERY_S = 5.0
PATIENCE_S = 5.0


class LagWatch:
    """Knows when to ask again; one request at a time."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._asking = False

    def due(self, now: float) -> bool:
        """Whether to measure at monotonic `now`; who is told so does."""
        if self._asking or now - self._asked_at < EVERY_S:
            return False
        self._asked_at, self._asking = now, True
        return True

    async def measure(self, lane: FetchLane, partitions: Sequence[OwnedPartition]) -> None:
        """Set the gauge of every source; it stays as it is while the brokers do not answer."""
        asked = [TopicPartition(*owned.tp) for owned in partitions]
        try:
            async with asyncio.timeout(PATIENCE_S):
                ends = await lane.call("end_offsets", asked) if asked else {}
        except Exception as error:
            log.debug("end offsets not known yet", error=repr(error))
            return
        finally:
            self._asking = False
        show({tp: end for tp, end in ends.items() if end is not None}, partitions)


def show(ends: dict[TopicPartition, int], partitions: Sequence[OwnedPartition]) -> None:
    """Set the gauges by these ends, those of sources without a partition to 0."""
    behind: Counter[Source] = Counter()
    for owned in partitions:
        behind[owned.identity.source] += max(0, ends.get(TopicPartition(*owned.tp), 0) - owned.state.position)
    for source in Source:
        metrics.LAG.labels(source.value).set(behind[source])
