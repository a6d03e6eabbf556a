"""The manifests of one owned partition, from where the database stands, into the loader's queue."""

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from batcher.loading import Loader
from batcher.manifests import Announced, ManifestMalformed, read_manifest
from batcher.partition import OwnedPartition, Parcel
from batcher.workbench import Workbench
from runtime.consumers import reader
from runtime.refusals import TopicRefused

log = structlog.get_logger(__name__)

POLL_MS = 500
FETCHED_AT_ONCE = 500


class Feed:
    """Reads one partition. It stops fetching while the loader's queue is full, and for good at a malformed record."""

    def __init__(self, bench: Workbench, loader: Loader, owned: OwnedPartition) -> None:
        self._bench, self._loader, self._owned = bench, loader, owned
        self._tp = TopicPartition(bench.batches_topic, owned.number)

    async def run(self) -> None:
        """Read for ever, or until a record is malformed: then the partition is held, and a person is needed.

        Raises:
            TopicRefused: manifests were removed before they were read.
        """
        while True:
            try:
                await self._read()
            except ManifestMalformed as error:
                self._bench.health.raise_reason(f"partition {self._owned.number}", f"held: {error}")
                return
            except OffsetOutOfRangeError as error:
                raise TopicRefused(
                    f"{self._tp.topic}/{self._tp.partition}: manifests from {self._owned.progress.position} on were "
                    "removed before they were read. Restore them from a backup; keep the topic's retention unlimited."
                ) from error
            except (KafkaError, OSError) as error:
                log.warning("manifests cannot be read, trying again", partition=self._tp.partition, error=repr(error))
                await asyncio.sleep(self._bench.backoff_s)

    async def _read(self) -> None:
        consumer = reader(self._bench.settings.kafka.access, auto_offset_reset="none")
        await consumer.start()
        try:
            consumer.assign([self._tp])
            consumer.seek(self._tp, self._owned.progress.position)
            while True:
                await self._loader.room()
                await self._take(consumer)
        finally:
            await consumer.stop()

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        found = await consumer.getmany(self._tp, timeout_ms=POLL_MS, max_records=FETCHED_AT_ONCE)
        announced: list[Announced] = []
        position = self._owned.progress.position
        try:
            for record in found.get(self._tp, []):
                announced.append(self._decode(record))
                position = record.offset + 1
            position = await consumer.position(self._tp)  # markers take offsets, too
        finally:
            self._owned.progress.announce(announced, position)
            if announced:
                await self._loader.put([Parcel(self._owned, one) for one in announced])

    def _decode(self, record: ConsumerRecord) -> Announced:
        return read_manifest(record.value, self._tp.partition, record.offset, self._bench.partitions)
