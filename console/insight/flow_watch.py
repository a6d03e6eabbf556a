"""Looking at the flow again and again: the frontiers topic is followed, ends and workers are asked for."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from console.errors import CommandFailed, UsageError
from console.frontier_board import FrontierBoard
from console.insight.asking import Asking
from console.insight.flow import Flow, accounts_of, open_spans, partition_rows, worker_state
from console.insight.kept import Kept
from console.readings import Worker, read_all, workers_of
from runtime.consumers import reading
from runtime.settings import Settings
from runtime.topic_reader import partitions_of
from schemas.records import partition_key
from schemas.sources import Source

KEEP_S = 1.0

_Opened = tuple[FrontierBoard, AIOKafkaConsumer]


class FlowWatch:
    """Looks once a second at most, however many ask. `close` when nobody will ask any more."""

    def __init__(self, settings: Settings, asking: Asking) -> None:
        self._settings, self._asking = settings, asking
        self._kept = Kept[Flow](KEEP_S)
        self._stack: AsyncExitStack | None = None
        self._opened: _Opened | None = None
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
            stack, self._stack, self._opened = self._stack, None, None
            with suppress(KafkaError):
                await stack.aclose()

    async def _look(self) -> Flow:
        try:
            board, ends_reader = self._opened or await self._open()
            await board.refresh()
            ends = await ends_reader.end_offsets(self._topics)
        except BaseException:
            await self.close()
            raise
        workers, remarks = await self._workers()
        readings = await read_all(workers)
        frontiers, now_ms = dict(board.frontiers), time.time_ns() // 1_000_000
        sources = {self._settings.topics.source_topic(source): source.value for source in Source}
        return Flow(
            now_ms,
            partition_rows(frontiers, {partition_key(*tp): end for tp, end in ends.items()}, sources, now_ms),
            open_spans(frontiers.values()),
            accounts_of(frontiers.values()),
            [worker_state(reading) for reading in readings],
            remarks,
        )

    async def _open(self) -> _Opened:
        stack = self._stack = AsyncExitStack()
        board = await stack.enter_async_context(FrontierBoard(self._settings))
        ends_reader = await stack.enter_async_context(reading(self._settings.kafka.access))
        topics = [self._settings.topics.source_topic(source) for source in Source]
        found = await asyncio.gather(
            *(asyncio.to_thread(partitions_of, self._settings.kafka, topic) for topic in topics)
        )
        self._topics = [TopicPartition(topic, n) for topic, ns in zip(topics, found, strict=True) for n in ns]
        await _catch_up(board)
        self._opened = board, ends_reader
        return self._opened

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


async def _catch_up(board: FrontierBoard) -> None:
    """Take all frontier records that are there by now: a refresh takes a portion of them."""
    before = -1
    while before != board.taken:
        before = board.taken
        await board.refresh()
