"""Taking partitions of the batches topic over.

In this order: fence the former owner; look where the batches topic ends; read the coefficients topic, the baseline of
what has been published; look where the database stands, and whether it was filled from the same batches topic.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache

import msgspec

from batcher.batches_log import check_continues, look_at_log
from batcher.database import Database
from batcher.manifests import Progress
from batcher.partition import Baseline, OwnedPartition
from batcher.publisher import Publisher
from batcher.topic_identity import known_topic_id
from batcher.workbench import Workbench
from runtime.topic_reader import read_topic
from schemas.coefficients import BATCHES_TOPIC_ID, parse_coefficient_key
from schemas.instants import parse_rfc3339
from schemas.topics import TopicRole


async def take_over(bench: Workbench, numbers: Collection[int]) -> list[OwnedPartition]:
    """The partitions, owned: their former owners are fenced when this returns. All of them or none.

    Raises:
        TopicRefused: see `check_continues`.
        KafkaError, KafkaException, TimeoutError, OSError: try again later.
    """
    publishers: dict[int, Publisher] = {}
    try:
        for number in sorted(numbers):
            publishers[number] = Publisher(bench.settings, number)
            await publishers[number].open()
        log = await look_at_log(bench.settings.kafka, bench.batches_topic, numbers)
        baselines = await read_baselines(bench, numbers, log.topic_id)
        offsets = await bench.database.write(_standing, log.topic)
        for publisher in publishers.values():
            publisher.calculated_from(log.topic_id)
        check_continues(log, await bench.database.write(known_topic_id, log.topic, log.topic_id), offsets)
        return [
            OwnedPartition(number, publisher, Progress(offsets.get(number, 0)), log.ends[number], baselines[number])
            for number, publisher in publishers.items()
        ]
    except BaseException:
        for publisher in publishers.values():
            await publisher.close()
        raise


class BaselineReader:
    """Makes the baseline of one partition from records of the coefficients topic, as calculated from `topic_id`."""

    def __init__(self, topic_id: str) -> None:
        self._mark = (BATCHES_TOPIC_ID, topic_id.encode())
        self._values: dict[str, bytes] = {}
        self._complete_until: dict[str, int] = {}

    def put(self, key: str, site_id: str, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        """The newest record of a key."""
        if value is None:
            self._values.pop(key, None)
            return
        self._values[key] = value
        if self._mark in headers:
            with suppress(msgspec.DecodeError, ValueError):  # no coefficient
                as_of_ms = _instant(_DATED.decode(value).as_of)
                self._complete_until[site_id] = max(as_of_ms, self._complete_until.get(site_id, as_of_ms))

    def baseline(self) -> Baseline:
        """Of all records."""
        return Baseline(self._values, self._complete_until)


class _Dated(msgspec.Struct):
    as_of: str


_DATED = msgspec.json.Decoder(_Dated)
_instant = lru_cache(parse_rfc3339)  # many rows, few instants


async def read_baselines(bench: Workbench, numbers: Collection[int], topic_id: str) -> dict[int, Baseline]:
    """What the coefficients topic holds of the sites of each partition."""
    readers = {number: BaselineReader(topic_id) for number in numbers}
    async for records in read_topic(bench.settings.kafka, bench.settings.topics.name(TopicRole.COEFFICIENTS)):
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            with suppress(ValueError):  # not one of our keys
                site_id, _, _ = parse_coefficient_key(key)
                if reader := readers.get(bench.home_of(site_id)):
                    reader.put(key, site_id, record.value, record.headers)
    return {number: reader.baseline() for number, reader in readers.items()}


def _standing(database: Database, topic: str) -> dict[int, int]:
    """The next offset to consume of each partition. Asked for as a write: after all transactions that have begun."""
    return {partition: offset for (name, partition), offset in database.offsets().items() if name == topic}
