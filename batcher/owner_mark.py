"""Whose database a partition's sites were last at home in: a mark beside the offset that the group has committed.

What sinks have of a site is known to the worker that delivers it, and to nobody else. A worker marks a partition before
it delivers anything of it; one that finds another's mark knows that others may have delivered in the meantime.
"""

import asyncio
import uuid
from collections.abc import Collection

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from batcher.database import Database
from batcher.delivery import ledger
from batcher.queries import Connection, load_queries
from batcher.workbench import Workbench
from runtime.connections import REQUEST_TIMEOUT_S, admin_client
from runtime.settings import KafkaSettings

log = structlog.get_logger(__name__)

#: What comes back may have more behind it: confluent-kafka 2.16 takes metadata to end with a NUL, which it does not.
MARK_DIGITS = 32
_QUERIES = load_queries("catalogue")


def own_mark(database: Database) -> str:
    """The mark of this database, the same for as long as its file is there. Blocks."""

    def find_or_make(connection: Connection) -> str:
        _QUERIES["make_mark"].rows(connection, mark=uuid.uuid4().hex)
        return _QUERIES["mark"].value(connection)

    return database.change(find_or_make)


def read_marks(kafka: KafkaSettings, topic: str, numbers: Collection[int]) -> dict[int, str]:
    """Partition → its mark; empty where there is none. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    asked = ConsumerGroupTopicPartitions(kafka.batch_group, [TopicPartition(topic, number) for number in numbers])
    admin = admin_client(kafka)  # must outlive its futures
    futures = admin.list_consumer_group_offsets([asked], request_timeout=REQUEST_TIMEOUT_S)
    found = futures[kafka.batch_group].result().topic_partitions
    return {one.partition: (one.metadata or "")[:MARK_DIGITS] for one in found}


async def doubt_what_others_had(bench: Workbench, numbers: Collection[int]) -> None:
    """Forget what sinks have of sites of partitions that bear another's mark.

    Raises:
        KafkaException: the brokers do not answer.
    """
    marks = await asyncio.to_thread(read_marks, bench.settings.kafka, bench.batches_topic, numbers)
    ours = await bench.database.write(own_mark)
    others = {number for number, mark in marks.items() if mark not in ("", ours)}
    if others:
        log.info("what sinks have is not known: others had partitions", partitions=sorted(others))
        await bench.database.write(doubt_sites, others)


def doubt_sites(database: Database, numbers: Collection[int]) -> None:
    """Sites of these partitions: nothing is known of what sinks have of them. Blocks."""
    sites = [site_id for site_id, partition in database.sites().items() if partition in numbers]
    database.change(lambda connection: ledger.doubt(connection, sites))
