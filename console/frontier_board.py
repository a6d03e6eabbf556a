"""The newest frontier record of every source partition, followed live."""

from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from console.topic_records import decoded
from runtime.consumers import reader
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.records import Frontier
from schemas.topics import TopicRole

POLL_MS = 200


class FrontierBoard:
    """An async context manager; `refresh` takes what has arrived since."""

    def __init__(self, settings: Settings) -> None:
        self.frontiers: dict[str, Frontier] = {}
        self.taken = 0  # records, so far
        self._topic = TopicPartition(settings.topics.name(TopicRole.FRONTIERS), 0)
        self._consumer: AIOKafkaConsumer = reader(settings.kafka.access)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign([self._topic])
        await self._consumer.seek_to_beginning()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def refresh(self) -> None:
        """Take new records, waiting a moment for them where there are none."""
        for records in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                put(self.frontiers, record)
            self.taken += len(records)


async def read_frontiers(settings: Settings) -> dict[str, Frontier]:
    """The newest frontier record of every source partition, once."""
    frontiers: dict[str, Frontier] = {}
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.FRONTIERS)):
        for record in records:
            put(frontiers, record)
    return frontiers


def put(frontiers: dict[str, Frontier], record: ConsumerRecord) -> None:
    """Take one record of the frontiers topic; a tombstone removes.

    Raises:
        RecordUnreadable: it is no frontier record.
    """
    if record.value is None:
        frontiers.pop((record.key or b"").decode(), None)
        return
    frontier = decoded(record, Frontier)
    frontiers[frontier.key] = frontier
