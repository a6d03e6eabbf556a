"""Looking at the flow again and again: the frontiers topic is followed, ends and workers are asked for."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from console.errors import CommandFailed, UsageError
from console.frontier_board import FrontierBoard
from console.insight.asking import Asking
from console.insight.flow import Flow, accounts_of, open_spans, partition_rows, worker_state
from console.insight.kept import Kept
from console.readings import Worker, read_all, workers_of
from runtime.connections import reading
from runtime.settings import Settings
from runtime.topic_reader import partitions_of
from schemas.records import partition_key
from schemas.sources import Source

KEEP_S = 1.0


class FlowWatch:
    """Looks once a second at most, however many ask. `close` when nobody will ask any more."""

    def __init__(self, settings: Settings, asking: Asking) -> None:
        self._settings, self._asking = settings, asking
        self._kept = Kept[Flow](KEEP_S)
        self._stack: AsyncExitStack | None = None
        self._board = FrontierBoard(settings)
        self._ends: AIOKafkaConsumer | None = None
        self._topics: list[TopicPartition] = []

    async def look(self) -> Flow:
        """The flow now.

        Raises:
            KeyError: a topic is missing.
            KafkaError, KafkaException: the brokers do not answer.
            RecordUnreadable: there is something else in the frontiers topic.
        """
        return await self._kept.get("flow", self._look)

    async def close(self) -> None:
        """Give up connections; a later look opens them again."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            with suppress(KafkaError):
                await stack.aclose()

    async def _look(self) -> Flow:
        try:
            if self._stack is None:
                await self._open()
            await self._board.refresh()
            ends = await self._log_ends()
        except BaseException:
            await self.close()
            raise
        workers, remarks = await self._workers()
        readings = await read_all(workers)
        frontiers, now_ms = dict(self._board.frontiers), time.time_ns() // 1_000_000
        sources = {self._settings.topics.source_topic(source): source.value for source in Source}
        return Flow(
            now_ms,
            partition_rows(frontiers, ends, sources, now_ms),
            open_spans(frontiers.values()),
            accounts_of(frontiers.values()),
            [worker_state(reading) for reading in readings],
            remarks,
        )

    async def _open(self) -> None:
        stack = AsyncExitStack()
        self._stack, self._board = stack, FrontierBoard(self._settings)
        await stack.enter_async_context(self._board)
        self._ends = await stack.enter_async_context(reading(self._settings.kafka))
        topics = [self._settings.topics.source_topic(source) for source in Source]
        found = await asyncio.gather(
            *(asyncio.to_thread(partitions_of, self._settings.kafka, topic) for topic in topics)
        )
        self._topics = [TopicPartition(topic, n) for topic, ns in zip(topics, found, strict=True) for n in ns]
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Take all frontier records that are there by now: a refresh takes a portion of them."""
        before = -1
        while before != (taken := self._board.taken):
            before = taken
            await self._board.refresh()

    async def _log_ends(self) -> Mapping[str, int]:
        if self._ends is None:
            return {}
        ends = await self._ends.end_offsets(self._topics)
        return {partition_key(tp.topic, tp.partition): end for tp, end in ends.items()}

    async def _workers(self) -> tuple[list[Worker], list[str]]:
        """The stream worker that the settings name, and all batch workers of the group."""
        remarks: list[str] = []
        try:
            owners = await self._asking.one("/api/v1/owners", None)
            batch = [owner["url"] for owner in owners["owners"]]
        except CommandFailed as error:
            batch, remarks = [], [str(error)]
        try:
            return workers_of(self._settings, [], batch), remarks
        except UsageError as error:
            return [("batch", url) for url in batch], [*remarks, f"the stream worker is not asked: {error}"]
