"""The worker's place in the consumer group: which partitions of the batches topic are its own.

The group consumer reads nothing. It is a member, and commits offsets as information for others: for lag tools, for a
drain that waits, for the stream workers' backpressure. The offsets that count are in the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

from batcher.owners import CLIENT_PREFIX, describe_members
from runtime.connections import until_connected
from runtime.health import Health
from runtime.settings import Settings, milliseconds
from schemas.topics import TopicRole

log = structlog.get_logger(__name__)

POLL_MS = 1000
BEAT_S = 60.0
NEVER_MS = 86_400_000  # membership does not depend on how fast batches are loaded: heartbeats say that we are alive


class Membership:
    """Joins the group under the address at which this worker's API answers.

    A rebalance begins with `revoked` and ends with `assigned`; neither may raise, since aiokafka would only log it.
    """

    def __init__(
        self,
        settings: Settings,
        address: str,
        health: Health,
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[set[int]], Awaitable[None]],
    ) -> None:
        self._settings, self._health = settings, health
        self._client_id = CLIENT_PREFIX + address
        self._topic = settings.topics.name(TopicRole.BATCHES)
        self._revoked, self._assigned = revoked, assigned
        self._consumer: AIOKafkaConsumer | None = None

    async def run(self) -> None:
        """Be a member for ever.

        Raises:
            KafkaError: the group refuses us.
        """
        await until_connected("leaving the group under an old address", self._leave_old_address)
        consumer = await until_connected("joining the group", self._join)
        self._consumer = consumer
        try:
            while True:
                self._health.beat("membership", BEAT_S)
                await consumer.getmany(timeout_ms=POLL_MS)  # all are paused: this raises what the group objects to
        finally:
            self._consumer = None
            await consumer.stop()

    async def commit(self, offsets: Mapping[int, int], mark: str = "") -> bool:
        """Tell the group how far we are, and whose `mark` the partitions bear; returns whether it took note.

        While it is rebalancing it does not.
        """
        if self._consumer is None:
            return False
        try:
            told = {TopicPartition(self._topic, p): OffsetAndMetadata(offset, mark) for p, offset in offsets.items()}
            await self._consumer.commit(told)
        except KafkaError as error:
            log.debug("offsets were not committed for information", error=repr(error))
            return False
        return True

    async def _join(self) -> AIOKafkaConsumer:
        kafka = self._settings.kafka
        session_ms = milliseconds(kafka.session_timeout)
        consumer = AIOKafkaConsumer(
            **kafka.access.options(),
            client_id=self._client_id,
            group_id=kafka.batch_group,
            group_instance_id=self._settings.worker_id,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(500, session_ms // 10),
            max_poll_interval_ms=NEVER_MS,
            partition_assignment_strategy=(StickyPartitionAssignor,),  # a partition that moves has to be rebuilt
        )
        consumer.subscribe([self._topic], listener=_Listener(consumer, self._revoked, self._assigned))
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def _leave_old_address(self) -> None:
        """Brokers keep the client id of a static member that comes back: so one with another address leaves first."""
        kafka = self._settings.kafka
        members = await asyncio.to_thread(describe_members, kafka)
        stale = [m for m in members if m.worker_id == self._settings.worker_id and m.client_id != self._client_id]
        if not stale:
            return
        admin = AIOKafkaAdminClient(**kafka.access.options())
        await admin.start()
        try:
            coordinator = await admin.find_coordinator(kafka.batch_group)
            for member in stale:
                log.info("leaving the group under an old address", client_id=member.client_id)
                request = LeaveGroupRequest(kafka.batch_group, member.member_id)
                await admin._send_request_to_node(coordinator, request)
        finally:
            await admin.close()


class _Listener(ConsumerRebalanceListener):
    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[set[int]], Awaitable[None]],
    ) -> None:
        self._consumer, self._revoked, self._assigned = consumer, revoked, assigned

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        await self._revoked()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        await self._assigned({tp.partition for tp in assigned})
