"""Connections to Kafka, for both client libraries; `consumers` has those that belong to no group."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, MemberDescription

from runtime.settings import KafkaSettings, milliseconds

log = structlog.get_logger(__name__)
T = TypeVar("T")

REQUEST_TIMEOUT_S = 10.0
_NO_LIMIT = 2**31 - 1
PROBE_TIMEOUT_S = 5.0  # it cannot be interrupted, and a worker that waits for Kafka must end within 10 s


def confluent_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options that every confluent-kafka client takes."""
    access = kafka.access
    options: dict[str, Any] = {
        "bootstrap.servers": access.bootstrap_servers,
        "security.protocol": access.security_protocol,
        "log_level": 0,
    }
    if access.security_protocol.startswith("SASL"):
        options["sasl.mechanism"] = access.sasl_mechanism
        options["sasl.username"] = access.sasl_username
        options["sasl.password"] = access.sasl_password
    if access.ssl_cafile:
        options["ssl.ca.location"] = access.ssl_cafile
    return options


def admin_client(kafka: KafkaSettings) -> AdminClient:
    """An admin client. Its calls block: run them in a thread from async code.

    One per cluster and process, kept for good: one that is collected while a future of its is not done takes the
    process down with a segmentation fault (confluent-kafka 2.16, seen when the broker went away).
    """
    options = confluent_options(kafka)
    name = str(sorted(options.items()))
    if name not in _ADMINS:
        _ADMINS[name] = AdminClient(options)
    return _ADMINS[name]


_ADMINS: dict[str, AdminClient] = {}


def topic_id(kafka: KafkaSettings, topic: str) -> str:
    """The broker's id of a topic; a recreated one has another. Blocks.

    Raises:
        KafkaException: the brokers do not answer, or there is no such topic.
    """
    admin = admin_client(kafka)  # must outlive its futures
    futures = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_TIMEOUT_S)
    return str(futures[topic].result().topic_id)


def group_members(kafka: KafkaSettings, group: str) -> list[MemberDescription]:
    """The members of a consumer group, their partitions among them; without these while it rebalances. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    admin = admin_client(kafka)  # must outlive its futures
    return admin.describe_consumer_groups([group], request_timeout=REQUEST_TIMEOUT_S)[group].result().members


def probe(kafka: KafkaSettings) -> None:
    """Ask the brokers for anything. Blocks.

    Raises:
        KafkaException: they do not answer.
    """
    admin_client(kafka).list_topics(timeout=PROBE_TIMEOUT_S)


def transactional_producer(kafka: KafkaSettings, transactional_id: str, **options: Any) -> AIOKafkaProducer:
    """A producer whose `start()` fences every earlier one of the same id and settles its transaction.

    Keys are placed by murmur2, as the Java client does, so that a key's partition is the same for everybody. How large
    a record may be is the topic's to say, not the client's: a limit here could be healed by nobody.
    """
    return AIOKafkaProducer(
        **kafka.access.options(),
        transactional_id=transactional_id,
        transaction_timeout_ms=milliseconds(kafka.transaction_timeout),
        enable_idempotence=True,
        max_request_size=_NO_LIMIT,
        **options,
    )


def plain_producer(kafka: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """A producer without transactions: a record that it has sent is on all replicas in sync, once, in order."""
    return AIOKafkaProducer(
        **kafka.access.options(), acks="all", enable_idempotence=True, max_request_size=_NO_LIMIT, **options
    )


async def close_producer(producer: AIOKafkaProducer, within_s: float) -> None:
    """Stop a producer; what it has not sent within that time is given up, and its connections are closed all the same.

    aiokafka first waits for what is unsent, for ever if the broker does not take it; and a stop that is cancelled there
    leaves its sender running and its sockets open.
    """
    try:
        async with asyncio.timeout(within_s):
            await producer.stop()
    except (Exception, asyncio.CancelledError) as error:
        log.debug("producer did not stop cleanly", error=repr(error))
        await _abandon(producer)
        if isinstance(error, asyncio.CancelledError):
            raise


async def _abandon(producer: Any) -> None:
    sender = getattr(producer._sender, "sender_task", None)
    if sender is not None:
        sender.cancel()
        await asyncio.wait([sender], timeout=1)
    with suppress(Exception):
        await producer.client.close()


async def until_connected(what: str, connect: Callable[[], Awaitable[T]], *, backoff_s: float = 1.0) -> T:
    """Call `connect` until the brokers answer, saying so and backing off up to 30 s in between.

    `connect` must leave nothing open when it raises.
    """
    attempt = 0
    while True:
        try:
            return await connect()
        except (KafkaConnectionError, KafkaTimeoutError, KafkaException, OSError) as error:
            delay = min(30.0, backoff_s * 2**attempt)
            log.warning("kafka away", what=what, error=str(error), retry_in_s=delay)
            attempt += 1
            await asyncio.sleep(delay)
