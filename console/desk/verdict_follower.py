"""Following the frontiers and the dead letters of a running pipeline, for the verdicts on records that were sent."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from console.desk.verdicts import Verdicts
from console.frontier_board import FrontierBoard
from runtime.consumers import reading
from runtime.settings import Settings
from runtime.topic_reader import partitions_of
from schemas.dead_letters import DeadLetter
from schemas.topics import TopicRole

POLL_MS = 100


class VerdictFollower:
    """An async context manager: from its beginning on it keeps `verdicts` up to date in the background.

    Enter it before anything is sent: dead letters count from then on.
    """

    def __init__(self, settings: Settings, verdicts: Verdicts) -> None:
        self._settings, self._verdicts = settings, verdicts
        self._topic = settings.topics.name(TopicRole.DEAD_LETTERS)
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            kafka = self._settings.kafka
            numbers = await asyncio.to_thread(partitions_of, kafka, self._topic)
            self._partitions = [TopicPartition(self._topic, number) for number in numbers]
            self._letters = await self._stack.enter_async_context(reading(kafka.access))
            uncommitted = reading(kafka.access, isolation_level="read_uncommitted")
            self._ends = await self._stack.enter_async_context(uncommitted)
            self._board = await self._stack.enter_async_context(FrontierBoard(self._settings))
            await self._from_the_end(self._letters)
        except BaseException:
            await self._stack.aclose()
            raise
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._stack.aclose()

    def check(self) -> None:
        """
        Raises:
            KafkaError: following has failed; no verdicts will come any more.
        """
        if self._task is not None and self._task.done():
            self._task.result()

    async def _from_the_end(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign(self._partitions)
        await consumer.seek_to_end()
        for partition in self._partitions:
            await consumer.position(partition)  # seeking is lazy; the end is that of now

    async def _follow(self) -> None:
        while True:
            await self._board.refresh()
            positions = {key: frontier.position for key, frontier in self._board.frontiers.items()}
            if self._verdicts.due(positions):
                await self._read_letters()
                self._verdicts.settle(positions)

    async def _read_letters(self) -> None:
        """All that are committed by now: up to the uncommitted ends, as an open transaction hides what is behind it."""
        ends = await self._ends.end_offsets(self._partitions)
        while behind := [tp for tp, end in ends.items() if await self._letters.position(tp) < end]:
            for records in (await self._letters.getmany(*behind, timeout_ms=POLL_MS)).values():
                for record in records:
                    try:
                        letter = DeadLetter.from_record(record.value, tuple(record.headers))
                    except ValueError:  # none of ours
                        continue
                    self._verdicts.refused(letter)
