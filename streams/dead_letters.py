"""A refused record with its coordinates and the reason."""

from runtime import VERSION
from runtime.source_record import SourceRecord
from schemas.dead_letters import Chain, DeadLetter
from schemas.records import partition_key
from streams.intake import Rejection


def dead_letter(topic: str, partition: int, record: SourceRecord, rejection: Rejection) -> DeadLetter:
    """The dead letter of a source record; its chain continues where a replayed record says so.

    `first_failed_at` is the record's Kafka timestamp, so that the letter is a function of the record alone.
    """
    chain = Chain.of(tuple(record.headers))
    here = f"{partition_key(topic, partition)}/{record.offset}"
    return DeadLetter(
        value=record.value,
        headers=tuple((name, data) for name, data in record.headers if not name.startswith("dlq.")),
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        error_class=rejection.error_class,
        stage=rejection.stage,
        path=rejection.path,
        message=rejection.message,
        attempts=chain.attempts + 1,
        root=chain.root or here,
        first_failed_at=chain.first_failed_at or record.timestamp,
        pipeline_version=VERSION,
    )


def wire_size(letter: DeadLetter) -> int:
    """Bytes that the letter takes in memory and on the wire, roughly."""
    return len(letter.value or b"") + len(letter.message) + 512
