"""The outbox of every ready partition to the coefficients topic, chunk by chunk.

A partition publishes once each of its sites has been calculated after it was taken over: from then on the outbox is the
difference between these results and what the topic held, whoever had put it there. A site that cannot be calculated
does not hold up the others: what it had when it was last calculated here stands.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

import structlog

from batcher import metrics
from batcher.agenda import Agenda
from batcher.database import Database
from batcher.loading import Loader
from batcher.outbox import OutboxRow
from batcher.ownership import Ownership, publication_of
from batcher.partition import OwnedPartition
from batcher.publisher import PublicationRefused, PublisherLost
from batcher.recalculation import Recalculation
from batcher.workbench import Workbench
from schemas.coefficients import parse_coefficient_key

log = structlog.get_logger(__name__)

CHUNK_RECORDS = 5_000
POLL_S = 1.0
PATIENCE_S = 60.0
TOPIC = "topic"  # what stands for a sink where it is the coefficients topic


class Publication:
    """Publishes what calculations leave in the outbox; `results` is set when they may have."""

    def __init__(
        self, bench: Workbench, agenda: Agenda, ownership: Ownership, loader: Loader, recalculation: Recalculation
    ) -> None:
        self._bench, self._agenda, self._ownership, self._loader = bench, agenda, ownership, loader
        self._results, self._failing = recalculation.results, recalculation.failing
        self._rates: defaultdict[int, ChunkRates] = defaultdict(ChunkRates)

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._results.wait()
            self._results.clear()
            for number in self._rates.keys() - self._ownership.partitions.keys():
                self._rates.pop(number).forget()
            for owned in list(self._ownership.partitions.values()):
                if owned.ready and await self._goes_by_the_topic(owned):
                    await self._publish(owned)

    async def _goes_by_the_topic(self, owned: OwnedPartition) -> bool:
        """Whether the outbox is the difference from what the topic held when the partition was taken over."""
        if owned.baseline is None:
            return True
        sites = {site.site_id for site in self._agenda.book.of({owned.number})}
        stuck = self._loader.holds.sites | self._failing() | self._agenda.deferred_sites
        waiting = sites & (self._agenda.triggers.uncalculated_sites - stuck)
        if waiting:
            self._say_waiting(owned, len(waiting))
            return False
        self._bench.health.clear(publication_of(owned.number))
        await self._bench.database.write(Database.set_baseline, owned.number, owned.baseline)
        owned.baseline = None
        return True

    def _say_waiting(self, owned: OwnedPartition, sites: int) -> None:
        now = time.monotonic()
        if owned.waiting_since is None:
            owned.waiting_since = now
        if now - owned.waiting_since > PATIENCE_S:
            reason = f"{sites} sites are yet to be calculated before coefficients are published"
            self._bench.health.raise_reason(publication_of(owned.number), reason)

    async def _publish(self, owned: OwnedPartition) -> None:
        while not owned.dropped:
            traces = self._bench.traces.calculated(self._bench.home_of, owned.number)  # before the outbox is read
            rows = await self._bench.database.read(Database.outbox, owned.number, CHUNK_RECORDS)
            if not rows:
                self._rates[owned.number].through()
                self._bench.traces.published(traces)
                return
            if not await self._has_sent(owned, rows):
                return
            await self._bench.database.write(Database.acknowledge_outbox, owned.number, rows[-1].seq)
            log.info("published", partition=owned.number, records=len(rows))

    async def _has_sent(self, owned: OwnedPartition, rows: list[OutboxRow]) -> bool:
        """Publish a chunk; False if that has to be tried again later, or by another owner."""
        key, rates = publication_of(owned.number), self._rates[owned.number]
        try:
            with metrics.PUBLISH_SECONDS.time(), self._bench.traces.publishing(rows) as traceparents:
                await owned.publisher.publish(rows, traceparents)
        except (PublicationRefused, PublisherLost) as error:
            metrics.PUBLICATION_FAILURES.inc()
            rates.attempted(rows, succeeded=False)
            if isinstance(error, PublisherLost):
                self._bench.health.clear(key)
                await self._ownership.lose(owned, error)
            else:
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
        self._shown: set[str] = set()

    def attempted(self, rows: list[OutboxRow], *, succeeded: bool) -> None:
        """A chunk with these rows was attempted."""
        for site_id in {parse_coefficient_key(row.key)[0] for row in rows}:
            counts = self._counts.setdefault(site_id, [0, 0])
            counts[0] += 1
            counts[1] += succeeded
            metrics.CHUNK_SUCCESS.labels(site_id, TOPIC).set(counts[1] / counts[0])
            self._shown.add(site_id)

    def through(self) -> None:
        """Nothing is left: what comes next is another publication."""
        self._counts.clear()

    def forget(self) -> None:
        """The partition is another worker's, which shows its rates now."""
        for site_id in self._shown:
            metrics.CHUNK_SUCCESS.remove(site_id, TOPIC)
