"""Whose database a partition's sites were last at home in: a mark beside the offset that the group has committed.

What sinks have of a site is known to the worker that delivers it, and to nobody else. A worker marks a partition before
it delivers anything of it; one that finds another's mark knows that others may have delivered in the meantime.
"""

import uuid
from collections.abc import Collection

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from batcher.database import Database
from batcher.delivery import ledger
from batcher.queries import Connection, load_queries
from batcher.workbench import Workbench
from runtime.settings import KafkaSettings

log = structlog.get_logger(__name__)

_QUERIES = load_queries("catalogue")


def own_mark(database: Database) -> str:
    """The mark of this database, the same for as long as its file is there. Blocks."""

    def find_or_make(connection: Connection) -> str:
        _QUERIES["make_mark"].rows(connection, mark=uuid.uuid4().hex)
        return _QUERIES["mark"].value(connection)

    return database.change(find_or_make)


async def read_marks(kafka: KafkaSettings, topic: str, numbers: Collection[int]) -> dict[int, str]:
    """Partition → its mark; empty where there is none.

    Raises:
        KafkaError: the brokers do not answer.
    """
    admin = AIOKafkaAdminClient(**kafka.access.options())
    await admin.start()
    try:
        asked = [TopicPartition(topic, number) for number in numbers]
        found = await admin.list_consumer_group_offsets(kafka.batch_group, partitions=asked)
    finally:
        await admin.close()
    return {one.partition: committed.metadata or "" for one, committed in found.items()}


async def doubt_what_others_had(bench: Workbench, numbers: Collection[int]) -> None:
    """Forget what sinks have of sites of partitions that bear another's mark.

    Raises:
        KafkaError: the brokers do not answer.
    """
    marks = await read_marks(bench.settings.kafka, bench.batches_topic, numbers)
    ours = await bench.database.write(own_mark)
    others = {number for number, mark in marks.items() if mark not in ("", ours)}
    if others:
        log.info("what sinks have is not known: others had partitions", partitions=sorted(others))
        await bench.database.write(doubt_sites, others)


def doubt_sites(database: Database, numbers: Collection[int]) -> None:
    """Sites of these partitions: nothing is known of what sinks have of them. Blocks."""
    sites = [site_id for site_id, partition in database.sites().items() if partition in numbers]
    database.change(lambda connection: ledger.doubt(connection, sites))
