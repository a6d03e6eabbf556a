"""`velocity reference load`: reference files onto the compacted reference topic, all of them or none."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from batcher.reference_files import ReferenceFile, ReferenceFileError, read_reference_file
from console.errors import UsageError
from console.progress import Meter
from runtime.connections import transactional_producer
from runtime.settings import Settings
from schemas.reference import ReferenceRecord, encode_reference
from schemas.topics import TopicRole

AT_ONCE = 5_000


def read_files(settings: Settings, files: Mapping[ReferenceFile, Path]) -> dict[ReferenceFile, list[ReferenceRecord]]:
    """Every record of every file, checked.

    Raises:
        UsageError: files are wrong; names the first fault of each.
    """
    records: dict[ReferenceFile, list[ReferenceRecord]] = {}
    faults: list[str] = []
    for kind, path in files.items():
        try:
            records[kind] = read_reference_file(kind, path, settings.intake.unit_codes)
        except ReferenceFileError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(["nothing was loaded:", *faults]))
    return records


async def publish(settings: Settings, records: Mapping[ReferenceFile, list[ReferenceRecord]]) -> None:
    """Send records in one transaction: the batch workers see all of them or none.

    Raises:
        KafkaError: the brokers refused; nothing was loaded, or, at the very end, it is not known.
    """
    topic = settings.topics.name(TopicRole.REFERENCE)
    everything = [record for of_kind in records.values() for record in of_kind]
    producer = transactional_producer(settings.kafka, f"{settings.kafka.batch_group}/reference-load")
    try:
        await producer.start()
        with Meter("loading reference data", total=len(everything)) as meter:
            async with producer.transaction():
                for first in range(0, len(everything), AT_ONCE):
                    part = everything[first : first + AT_ONCE]
                    sent = [await producer.send(topic, encode_reference(r), key=r.key.encode()) for r in part]
                    await asyncio.gather(*sent)
                    meter.advance(len(part))
    finally:
        await producer.stop()
