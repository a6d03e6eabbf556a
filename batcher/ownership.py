"""Which partitions of the batches topic are ours, and what goes on for each of them.

A rebalance drops every partition and takes over those that are assigned, also those that stay: there is one way back,
the one that a crash takes. A partition is *ready* once all that was on its log at that moment is in the database.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from batcher import metrics
from batcher.feed import Feed
from batcher.loading import Loader
from batcher.partition import OwnedPartition
from batcher.publisher import PublisherLost
from batcher.takeover import take_over
from batcher.workbench import Workbench

log = structlog.get_logger(__name__)

LONGEST_BACKOFF_S = 15.0


class Ownership:
    """The partitions that are ours now, by number. `on_dropped` hears of those that are no longer.

    `assignment` are those that the group gave us: one that is not among `partitions` is being taken over.
    """

    def __init__(self, bench: Workbench, loader: Loader, on_dropped: Callable[[Collection[int]], None]) -> None:
        self.partitions: dict[int, OwnedPartition] = {}
        self.assignment: frozenset[int] = frozenset()
        self._bench, self._loader, self._on_dropped = bench, loader, on_dropped
        self._epoch = 0  # of the assignment; work begun under another is void
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._feeds: dict[OwnedPartition, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Carry out what the group assigns, for ever.

        Raises:
            TopicRefused: the batches topic is not the one that the database was filled from, or lacks manifests.
        """
        self._bench.health.raise_reason("group", "the group is assigning partitions")
        try:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.Event().wait()
        finally:
            await self._drop(list(self.partitions.values()))

    def of_site(self, site_id: str) -> OwnedPartition | None:
        """The partition that a site's manifests are on, if it is ours."""
        return self.partitions.get(self._bench.home_of(site_id))

    # -- group membership ----------------------------------------------------------------------------------------------

    async def revoked(self) -> None:
        """A rebalance begins: let go of everything."""
        self._epoch += 1
        self.assignment = frozenset()
        self._bench.health.raise_reason("group", "the group is assigning partitions")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drop(list(self.partitions.values()))

    async def assigned(self, numbers: Collection[int]) -> None:
        """A rebalance has ended: take these over in the background."""
        await self.revoked()
        log.info("partitions assigned", partitions=sorted(numbers))
        self._bench.health.clear("group")
        self.assignment = frozenset(numbers)
        if numbers:
            self._start(self._take_over(set(numbers), self._epoch))

    async def lose(self, owned: OwnedPartition, error: PublisherLost) -> None:
        """A partition's publisher is fenced, or does not know what it has published: take the partition over anew.

        After a fence another worker owns it, and a rebalance is on its way to tell us: taking it back at once would
        only fence that worker in turn. So that waits for one session.
        """
        if owned.dropped:
            return
        epoch = self._epoch
        log.error("partition lost", partition=owned.number, error=str(error), fenced=error.fenced)
        await self._drop([owned])
        session_s = self._bench.settings.kafka.session_timeout.total_seconds()
        if epoch == self._epoch:
            self._start(self._take_over({owned.number}, epoch, session_s if error.fenced else 0.0))

    async def _drop(self, gone: list[OwnedPartition]) -> None:
        for owned in gone:
            owned.dropped = True
            self.partitions.pop(owned.number, None)
            for key in owned.reasons:
                self._bench.health.clear(key)
        feeds = [self._feeds.pop(owned) for owned in gone if owned in self._feeds]
        for feed in feeds:
            feed.cancel()
        await asyncio.gather(*feeds, return_exceptions=True)
        await self._loader.forget_dropped()
        self._on_dropped([owned.number for owned in gone])
        await asyncio.gather(*(owned.publisher.close() for owned in gone))
        metrics.OWNED.set(len(self.partitions))

    # -- taking over ---------------------------------------------------------------------------------------------------

    async def _take_over(self, numbers: set[int], epoch: int, delay_s: float = 0.0) -> None:
        names = ", ".join(map(str, sorted(numbers)))
        key = f"taking over {names}"
        self._bench.health.raise_reason(key, f"partitions {names} of {self._bench.batches_topic} are being taken over")
        try:
            owned = await self._until_taken_over(numbers, delay_s)
        finally:
            self._bench.health.clear(key)
        if epoch != self._epoch:
            await asyncio.gather(*(one.publisher.close() for one in owned))
            return
        for one in owned:
            self._begin(one)

    async def _until_taken_over(self, numbers: set[int], delay_s: float) -> list[OwnedPartition]:
        while True:
            await asyncio.sleep(delay_s)
            try:
                return await take_over(self._bench, numbers)
            except (KafkaError, KafkaException, TimeoutError, OSError) as error:
                delay_s = min(LONGEST_BACKOFF_S, max(self._bench.backoff_s, 2 * delay_s))
                log.warning("partitions cannot be taken over yet", partitions=sorted(numbers), error=repr(error))

    def _begin(self, owned: OwnedPartition) -> None:
        self.partitions[owned.number] = owned
        metrics.OWNERSHIPS.inc()
        metrics.OWNED.set(len(self.partitions))
        log.info("partition taken over", partition=owned.number, position=owned.progress.position, end=owned.end)
        self._bench.health.raise_reason(
            owned.catching_up, f"batches announced up to offset {owned.end} are being loaded"
        )
        self._feeds[owned] = self._start(Feed(self._bench, self._loader, owned).run())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._group is None:
            raise RuntimeError("the ownership is not running")
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
