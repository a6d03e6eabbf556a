"""The frontier records of all source partitions, followed live: every worker reads all of them."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from confluent_kafka import KafkaException

from batcher.completeness import Passage, PassageBoard, Place, cut_otherwise
from batcher.following import Position, follow
from batcher.workbench import Workbench
from runtime.connections import admin_client
from runtime.settings import Settings
from schemas.codecs import decode
from schemas.instants import rfc3339
from schemas.records import Frontier, partition_key
from schemas.sources import Source
from schemas.topics import TopicRole

log = structlog.get_logger(__name__)

METADATA_S = 5.0
METADATA_TIMEOUT_S = 4.0  # a stop may have to wait for it


class Frontiers:
    """What the source partitions say. `records` holds the newest record of each, by `topic/partition`."""

    def __init__(self, bench: Workbench, on_news: Callable[[], None]) -> None:
        self.board = PassageBoard()
        self.records: dict[str, Frontier] = {}
        self.position = Position()
        self._settings, self._health, self._windows = bench.settings, bench.health, bench.windows
        self._on_news = on_news
        self._sources: tuple[str, ...] | None = None
        self._cut_otherwise: set[str] = set()  # source partitions with windows that ours are not

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._settings.topics.name(TopicRole.FRONTIERS)

    def passed(self, place: Place) -> int | None:
        """Up to when all source partitions have passed for a site; None if one has passed nothing, or is not known.

        Also None while a partition cuts time into other windows than ours: what is complete by ours may be open there.
        """
        if self._sources is None or not self.position.caught_up or self._cut_otherwise:
            return None
        return self.board.passed(place, self._sources)

    async def run(self) -> None:
        """Follow the topic, and the number of source partitions, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._watch_sources())

    async def _follow(self) -> None:
        while True:
            try:
                starts = self.position.reached
                async for news in follow(self._settings.kafka, self.topic, starts, self.position):
                    for record in news.records:
                        self._put(record)
                    self._on_news()
            except (KafkaError, KafkaException, OSError) as error:
                log.warning("frontiers cannot be read, trying again", error=repr(error))
                await asyncio.sleep(METADATA_S)

    def _put(self, record: ConsumerRecord) -> None:
        key = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.records.pop(key, None)
            self.board.remove(key)
            return
        try:
            frontier = decode(record.value, Frontier)
        except msgspec.DecodeError as error:  # what it said before still holds
            self._health.raise_reason(f"frontier {key}", f"the record at {self.topic}/{record.offset} is none: {error}")
            return
        self._health.clear(f"frontier {key}")
        self.records[frontier.key] = frontier
        self.board.put(frontier.key, Passage.of(frontier))
        self._compare_windows(frontier)

    def _compare_windows(self, frontier: Frontier) -> None:
        """Completeness rests on cutting time as the stream workers do; say so where a window shows that we do not."""
        theirs = cut_otherwise(self._windows, frontier)
        if theirs is None:
            self._cut_otherwise.discard(frontier.key)
        else:
            self._cut_otherwise.add(frontier.key)
            ours = self._windows.window_of(theirs.site_id, theirs.start)
            self._health.raise_reason(
                "windows",
                f"{frontier.key} has a window of {theirs.site_id}, {rfc3339(theirs.start)} to {rfc3339(theirs.end)}; "
                f"by the settings here it is {rfc3339(ours.start)} to {rfc3339(ours.end)}. Set windows and time zones "
                "as for the stream workers.",
            )
        if not self._cut_otherwise:
            self._health.clear("windows")

    async def _watch_sources(self) -> None:
        """Learn of new source partitions, and say when the brokers do not answer."""
        while True:
            try:
                found = await asyncio.to_thread(source_partitions, self._settings)
                if found != self._sources:
                    log.info("source partitions", count=len(found))
                    self._sources = found
                    self._on_news()
                self._health.clear("kafka")
            except (KafkaException, KeyError) as error:
                self._health.raise_reason("kafka", f"the brokers do not answer: {error}")
            await asyncio.sleep(METADATA_S)


def source_partitions(settings: Settings) -> tuple[str, ...]:
    """Every partition of every source topic, as `topic/partition`. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
        KeyError: a source topic does not exist.
    """
    known = admin_client(settings.kafka).list_topics(timeout=METADATA_TIMEOUT_S).topics
    topics = [settings.topics.source_topic(source) for source in Source]
    return tuple(partition_key(topic, number) for topic in topics for number in sorted(known[topic].partitions))
