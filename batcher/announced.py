"""What was announced on the log before a request came is taken before the request is answered."""

import asyncio
import time

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from batcher.objections import NotReady
from batcher.recalculation import Parts
from batcher.workbench import Workbench
from runtime.topic_reader import end_offsets

SYNC_S = 15.0
LOOK_S = 0.05


async def until_taken(bench: Workbench, parts: Parts) -> None:
    """Wait for all batches, frontiers and reference data of before now: who has drained, or loaded, finds them.

    Raises:
        NotReady: they are not taken in time.
    """
    kafka, frontiers, reference = bench.settings.kafka, parts.frontiers, parts.reference
    try:
        said = await end_offsets(kafka, frontiers.topic)
        announced = await end_offsets(kafka, bench.batches_topic)
        loaded = await end_offsets(kafka, reference.topic)
    except (KafkaError, KafkaException, OSError) as error:
        raise NotReady(f"the brokers do not say what was announced: {error!r}") from error
    deadline = time.monotonic() + SYNC_S
    while frontiers.position.is_behind(said) or _is_behind(parts, announced) or reference.position.is_behind(loaded):
        if time.monotonic() > deadline:
            raise NotReady(f"not all batches and reference data of before have been taken within {SYNC_S:.0f} s")
        await asyncio.sleep(LOOK_S)


def _is_behind(parts: Parts, ends: dict[int, int]) -> bool:
    return any(one.progress.next_unheld() < ends[number] for number, one in parts.ownership.partitions.items())
