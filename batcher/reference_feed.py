"""Reference data from its topic into the database: every worker reads all of it, from where its own file stands."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord
from confluent_kafka import KafkaException

from batcher.database import Database
from batcher.following import News, Position, follow
from batcher.reference import ReferenceChange
from batcher.topic_identity import known_topic_id
from batcher.workbench import Workbench
from runtime.connections import topic_id
from runtime.refusals import TopicRefused
from schemas.reference import ReferenceRecord, decode_reference
from schemas.topics import TopicRole

log = structlog.get_logger(__name__)

RETRY_S = 10.0


class ReferenceMalformed(Exception):
    """A record on the reference topic is no reference record. It is never skipped."""


class ReferenceFeed:
    """Follows the reference topic; `on_change` hears of the sites whose next calculation differs."""

    def __init__(self, bench: Workbench, on_change: Callable[[frozenset[str]], None]) -> None:
        self.position = Position()
        self._bench, self._on_change = bench, on_change
        self.topic = bench.settings.topics.name(TopicRole.REFERENCE)

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            TopicRefused: the topic is not the one that the database was filled from.
        """
        while True:
            try:
                await self._follow()
            except OffsetOutOfRangeError as error:
                raise self._refused("ends before what was read of it") from error
            except ReferenceMalformed as error:
                self._bench.health.raise_reason("reference", str(error))
            except (KafkaError, KafkaException, OSError) as error:
                log.warning("reference data cannot be read, trying again", error=repr(error))
            await asyncio.sleep(RETRY_S)

    def _refused(self, why: str) -> TopicRefused:
        return TopicRefused(
            f"{self.topic} {why}: it was truncated or recreated. Restore it, or load the reference data anew and "
            "rebuild this worker: stop it and move its database file away."
        )

    async def _follow(self) -> None:
        found = await asyncio.to_thread(topic_id, self._bench.settings.kafka, self.topic)
        if await self._bench.database.write(known_topic_id, self.topic, found) != found:
            raise self._refused("is another topic than the one that was read")
        offsets = await self._bench.database.read(Database.offsets)
        starts = {partition: offset for (topic, partition), offset in offsets.items() if topic == self.topic}
        async for news in follow(self._bench.settings.kafka, self.topic, starts, self.position):
            if news.records:
                await self._apply(news)
            self._bench.health.clear("reference")

    async def _apply(self, news: News) -> None:
        records = [decoded for record in news.records if (decoded := self._decode(record)) is not None]
        change = await self._bench.database.write(apply_and_advance, records, self.topic, news.positions)
        log.info("reference data", records=len(records), changed=change.rows)
        if change.rows:
            self._on_change(change.sites)

    def _decode(self, record: ConsumerRecord) -> ReferenceRecord | None:
        """The record; None for a tombstone, since reference data is effective-dated and never deleted.

        Raises:
            ReferenceMalformed: it is none.
        """
        where = f"{self.topic}/{record.partition}/{record.offset}"
        if record.value is None:
            log.warning("a tombstone among reference data is left aside", at=where, key=record.key)
            return None
        try:
            return decode_reference(record.value)
        except msgspec.DecodeError as error:
            raise ReferenceMalformed(f"the record at {where} is no reference record: {error}") from error


def apply_and_advance(
    database: Database, records: Sequence[ReferenceRecord], topic: str, positions: Mapping[int, int]
) -> ReferenceChange:
    """Store records, and remember the next offset to consume: both or neither. Blocks."""
    with database.transaction():
        change = database.apply_reference(records)
        for partition, position in positions.items():
            database.set_offset(topic, partition, position)
    return change
