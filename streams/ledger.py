"""The transactions of one source partition: manifests, dead letters, frontier and offset commit, all or nothing."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata
from msgspec import structs

from runtime.connections import close_producer, transactional_producer
from runtime.crash_points import crash_point
from runtime.partitioning import partitions_of
from runtime.settings import Settings
from schemas.codecs import encode
from schemas.dead_letters import DeadLetter
from schemas.records import CommitMetadata, Frontier, Manifest
from schemas.topics import TopicRole

CLOSE_S = 2.0
BATCH_BYTES = 256 << 10  # uncompressed; a topic's limit for a record is a limit for a batch, too


class CheckpointRefusedByBroker(Exception):
    """The transaction was aborted cleanly; time may heal the reason, and the same snapshot can be tried again."""


class PartitionLost(Exception):
    """Fenced, or the outcome is unknown: the partition's state must be dropped and recovered."""

    def __init__(self, why: str, *, fenced: bool) -> None:
        super().__init__(why)
        self.fenced = fenced


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transaction says. `frontier.manifests` holds what was announced before; this adds to it."""

    manifests: list[Manifest]
    dead_letters: list[DeadLetter]
    frontier: Frontier


@dataclass(frozen=True, slots=True)
class Announced:
    """A committed checkpoint: the frontier record, and the group's offset and metadata that name it."""

    frontier: Frontier
    commit: tuple[int, str]


class Ledger:
    """A transactional producer of one source partition. `open` fences every earlier one.

    After a `CheckpointRefusedByBroker` the producer's sequence numbers are out of step with the broker's: use a new
    ledger, and make sure under its fence that the last commit is still one's own.
    """

    def __init__(self, settings: Settings, topic: str, partition: int) -> None:
        self._topics = settings.topics
        self._group = settings.kafka.stream_group
        self._tp = TopicPartition(topic, partition)
        self._timeout_s = settings.kafka.transaction_timeout.total_seconds()
        self._producer: AIOKafkaProducer = transactional_producer(
            settings.kafka,
            f"{self._group}/{topic}/{partition}",
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
        )

    async def open(self) -> None:
        """Fence the former owner and settle its transaction."""
        await self._producer.start()

    async def close(self) -> None:
        """Give up the producer; an unfinished transaction is aborted by the next owner or by time."""
        await close_producer(self._producer, CLOSE_S)

    async def commit(self, entry: Entry) -> Announced:
        """Commit a checkpoint; returns it as announced.

        Raises:
            CheckpointRefusedByBroker: aborted; the same entry can be tried again.
            PartitionLost: fenced, or the outcome is unknown.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.begin_transaction()
                announced = await self._send(entry)
        except Exception as error:
            await self._abort(error)
            raise CheckpointRefusedByBroker(repr(error)) from error
        crash_point("stream.in_transaction")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.commit_transaction()
        except Exception as error:
            raise PartitionLost(f"the commit's outcome is unknown: {error!r}", fenced=_is_fence(error)) from error
        crash_point("stream.after_commit")
        return announced

    async def _send(self, entry: Entry) -> Announced:
        letters = await self._send_dead_letters(entry.dead_letters)
        manifests = [await self._send_manifest(manifest) for manifest in entry.manifests]
        last = dict(entry.frontier.manifests)
        for sent in await asyncio.gather(*manifests):
            last[sent.partition] = max(last.get(sent.partition, -1), _valid(sent.offset))
        frontier = structs.replace(entry.frontier, manifests=last)
        topic = self._topics.name(TopicRole.FRONTIERS)
        sent = await self._producer.send_and_wait(topic, encode(frontier), key=frontier.key.encode())
        await asyncio.gather(*letters)
        metadata = CommitMetadata(
            n=frontier.position,
            f=frontier.frontier,
            m=frontier.max_event_time,
            s=frontier.checkpoint_seq,
            h=frontier.settings_hash,
            r=_valid(sent.offset),
        )
        commit = (frontier.committed, encode(metadata).decode())
        await self._producer.send_offsets_to_transaction({self._tp: OffsetAndMetadata(*commit)}, self._group)
        return Announced(frontier, commit)

    async def _send_manifest(self, manifest: Manifest) -> asyncio.Future:
        topic = self._topics.name(TopicRole.BATCHES)
        return await self._producer.send(topic, encode(manifest), key=manifest.site_id.encode())

    async def _send_dead_letters(self, letters: Sequence[DeadLetter]) -> list[asyncio.Future]:
        """In batches that are filled here: sent one by one, each would cost ten times as much."""
        if not letters:
            return []
        topic = self._topics.name(TopicRole.DEAD_LETTERS)
        partitions = len(await self._producer.partitions_for(topic))
        keys = [letter.id.encode() for letter in letters]
        placed: defaultdict[int, list[tuple[bytes, DeadLetter]]] = defaultdict(list)
        for place, keyed in zip(partitions_of(keys, partitions), zip(keys, letters, strict=True), strict=True):
            placed[place].append(keyed)
        return [
            await self._producer.send_batch(batch, topic, partition=partition)
            for partition, theirs in placed.items()
            for batch in self._batches(theirs)
        ]

    def _batches(self, keyed: Iterable[tuple[bytes, DeadLetter]]) -> Iterator[BatchBuilder]:
        batch = self._producer.create_batch()
        for key, letter in keyed:
            headers = letter.to_headers()
            if batch.append(timestamp=None, key=key, value=letter.value, headers=headers) is None:
                yield batch  # full; an empty one takes a record of any size
                batch = self._producer.create_batch()
                batch.append(timestamp=None, key=key, value=letter.value, headers=headers)
        batch.close()
        yield batch

    async def _abort(self, cause: Exception) -> None:
        if _is_fence(cause):
            raise PartitionLost("another worker owns this partition", fenced=True) from cause
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.abort_transaction()
        except Exception as error:
            raise PartitionLost(f"{cause!r}, and the abort failed: {error!r}", fenced=_is_fence(error)) from error


def _valid(offset: int) -> int:
    if offset < 0:
        raise ValueError("the broker did not say at which offset it stored a record")
    return offset


def _is_fence(error: BaseException) -> bool:
    return isinstance(error, ProducerFenced)
