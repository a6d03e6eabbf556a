"""Records of failed chunks on their topic."""

from typing import Protocol

from aiokafka import AIOKafkaProducer

from runtime.connections import aiokafka_options, close_producer
from runtime.settings import Settings
from schemas.failed_chunks import FailedChunk, encode_failed_chunk
from schemas.topics import TopicRole

STOP_S = 1.0


class FailedChunkLog(Protocol):
    """Where records of failed chunks go."""

    async def write(self, chunk: FailedChunk) -> None:
        """On return the record is there.

        Raises:
            KafkaError: it may not be.
        """
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


class KafkaFailedChunkLog:
    """The topic `failed_chunks`, by a producer that is started when there is something to write."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.name(TopicRole.FAILED_CHUNKS)
        self._producer: AIOKafkaProducer | None = None

    async def write(self, chunk: FailedChunk) -> None:
        """See `FailedChunkLog`."""
        if self._producer is None:
            options = aiokafka_options(self._settings.kafka)
            producer = AIOKafkaProducer(**options, enable_idempotence=True, max_request_size=8 << 20)
            try:
                await producer.start()
            except BaseException:
                await close_producer(producer, STOP_S)
                raise
            self._producer = producer
        await self._producer.send_and_wait(self._topic, encode_failed_chunk(chunk), key=chunk.chunk_id.encode())

    async def close(self) -> None:
        """See `FailedChunkLog`."""
        if self._producer:
            await close_producer(self._producer, STOP_S)
