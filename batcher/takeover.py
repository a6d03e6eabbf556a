"""Taking partitions of the batches topic over.

In this order: fence the former owner; see whether it was another than this worker, and may have delivered something;
read the coefficients topic, the baseline of what has been published; look where the database stands, and whether the
batches topic is the one that it was filled from.
"""

from collections.abc import Collection

from batcher.batches_log import check_continues, look_at_log
from batcher.database import Database
from batcher.manifests import Progress
from batcher.owner_mark import doubt_what_others_had
from batcher.partition import OwnedPartition
from batcher.publisher import Publisher
from batcher.topic_identity import known_topic_id
from batcher.workbench import Workbench
from runtime.topic_reader import read_topic
from schemas.coefficients import parse_coefficient_key
from schemas.topics import TopicRole

Baseline = dict[str, bytes]


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
        await doubt_what_others_had(bench, numbers)
        baselines = await read_baselines(bench, numbers)
        log = await look_at_log(bench.settings.kafka, bench.batches_topic, numbers)
        offsets = await bench.database.write(_standing, log.topic)
        check_continues(log, await bench.database.write(known_topic_id, log.topic, log.topic_id), offsets)
        return [
            OwnedPartition(number, publisher, Progress(offsets.get(number, 0)), log.ends[number], baselines[number])
            for number, publisher in publishers.items()
        ]
    except BaseException:
        for publisher in publishers.values():
            await publisher.close()
        raise


async def read_baselines(bench: Workbench, numbers: Collection[int]) -> dict[int, Baseline]:
    """What the coefficients topic holds of the sites of each partition: the newest value by key."""
    baselines: dict[int, Baseline] = {number: {} for number in numbers}
    async for records in read_topic(bench.settings.kafka, bench.settings.topics.name(TopicRole.COEFFICIENTS)):
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            baseline = baselines.get(_home(bench, key))
            if baseline is None:
                continue
            if record.value is None:
                baseline.pop(key, None)
            else:
                baseline[key] = record.value
    return baselines


def _home(bench: Workbench, key: str) -> int:
    """The partition of the batches topic that a coefficient's site is on; -1 if the key is none of ours."""
    try:
        return bench.home_of(parse_coefficient_key(key)[0])
    except ValueError:
        return -1


def _standing(database: Database, topic: str) -> dict[int, int]:
    """The next offset to consume of each partition. Asked for as a write: after all transactions that have begun."""
    return {partition: offset for (name, partition), offset in database.offsets().items() if name == topic}
