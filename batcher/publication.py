"""The outbox of every ready partition to the coefficients topic, chunk by chunk.

Once a partition is ready, the outbox is the difference between what has been calculated since and what the topic held
when it was taken over, whoever had put it there. So each site is published as soon as it has been calculated.
"""

import asyncio
from collections import defaultdict
from contextlib import suppress

import structlog

from batcher import metrics
from batcher.database import Database
from batcher.outbox import OutboxRow
from batcher.ownership import Ownership
from batcher.partition import OwnedPartition
from batcher.publisher import PublicationRefused, PublisherLost
from batcher.workbench import Workbench
from schemas.coefficients import parse_coefficient_key

log = structlog.get_logger(__name__)

CHUNK_RECORDS = 5_000
POLL_S = 1.0


class Publication:
    """Publishes what calculations leave in the outbox; `results` is set when they may have."""

    def __init__(self, bench: Workbench, ownership: Ownership, results: asyncio.Event) -> None:
        self._bench, self._ownership, self._results = bench, ownership, results
        self._rates: defaultdict[int, ChunkRates] = defaultdict(ChunkRates)

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._results.wait()
            self._results.clear()
            for owned in list(self._ownership.partitions.values()):
                if owned.ready:
                    await self._publish(owned)

    async def _publish(self, owned: OwnedPartition) -> None:
        while not owned.dropped:
            rows = await self._bench.database.read(Database.outbox, owned.number, CHUNK_RECORDS)
            if not rows:
                self._rates[owned.number].through()
                return
            if not await self._has_sent(owned, rows):
                return
            await self._bench.database.write(Database.acknowledge_outbox, owned.number, rows[-1].seq)
            log.info("published", partition=owned.number, records=len(rows))

    async def _has_sent(self, owned: OwnedPartition, rows: list[OutboxRow]) -> bool:
        """Publish a chunk; False if that has to be tried again later, or by another owner."""
        key, rates = owned.publication, self._rates[owned.number]
        try:
            with metrics.PUBLISH_SECONDS.time():
                await owned.publisher.publish(rows)
        except (PublicationRefused, PublisherLost) as error:
            metrics.PUBLICATION_FAILURES.inc()
            rates.attempted(rows, succeeded=False)
            if isinstance(error, PublisherLost):
                self._bench.health.clear(key)
                await self._ownership.lose(owned, error)
            elif not owned.dropped:
                self._bench.health.raise_reason(key, f"coefficients cannot be published, trying again: {error}")
                await asyncio.sleep(self._bench.backoff_s)
            return False
        self._bench.health.clear(key)
        metrics.PUBLISHED.inc(len(rows))
        rates.attempted(rows, succeeded=True)
        return True


class ChunkRates:
    """Per site, the share of chunks that were published, from when its present publication began."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}  # site → attempts, successes

    def attempted(self, rows: list[OutboxRow], *, succeeded: bool) -> None:
        """A chunk with these rows was attempted."""
        for site_id in {parse_coefficient_key(row.key)[0] for row in rows}:
            counts = self._counts.setdefault(site_id, [0, 0])
            counts[0] += 1
            counts[1] += succeeded
            metrics.CHUNK_SUCCESS.labels(site_id).set(counts[1] / counts[0])

    def through(self) -> None:
        """Nothing is left: what comes next is another publication."""
        self._counts.clear()
