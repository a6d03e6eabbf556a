"""Who owns what: the members of the batch group, and the addresses at which their APIs answer."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from confluent_kafka import KafkaException

from runtime.connections import group_members
from runtime.settings import KafkaSettings

#: What a member's client id begins with; `host:port` of its API follows.
CLIENT_PREFIX = "velocity-batch@"
FRESH_S = 1.0
ASK_S = 2.0


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the batch group."""

    worker_id: str
    client_id: str
    member_id: str
    partitions: tuple[int, ...]

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://{self.client_id.removeprefix(CLIENT_PREFIX)}"


def describe_members(kafka: KafkaSettings) -> list[Member]:
    """The members of the batch group and their partitions of the batches topic, none while it rebalances. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    return [
        Member(
            found.group_instance_id or found.client_id,
            found.client_id,
            found.member_id,
            tuple(sorted(tp.partition for tp in found.assignment.topic_partitions)),
        )
        for found in group_members(kafka, kafka.batch_group)
        if found.client_id.startswith(CLIENT_PREFIX)
    ]


async def sites_of(member: Member, headers: Mapping[str, str]) -> set[str]:
    """The sites that another worker has, those that are not ready included, by its API; `headers` let us in.

    Raises:
        aiohttp.ClientError, TimeoutError: it does not answer, or is not ready.
    """
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True, headers=headers) as session,
        session.get(f"{member.url}/api/v1/sites") as answer,
    ):
        found = await answer.json()
        return {row["site_id"] for row in found["rows"]}.union(found["not_ready"])


class Owners:
    """The members as they were a moment ago: asking the brokers for every request would be too much."""

    def __init__(self, kafka: KafkaSettings, headers: Mapping[str, str] | None = None) -> None:
        self._kafka, self._headers = kafka, headers or {}
        self._members: list[Member] = []
        self._asked_at = -FRESH_S
        self._asking = asyncio.Lock()

    async def members(self) -> list[Member]:
        """All members, by worker id; those known last while the brokers do not answer."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= FRESH_S:
                try:
                    found = await asyncio.to_thread(describe_members, self._kafka)
                except KafkaException:
                    return self._members
                self._members = sorted(found, key=lambda member: member.worker_id)
                self._asked_at = time.monotonic()
            return self._members

    async def sites_of(self, member: Member) -> set[str]:
        """See `sites_of`."""
        return await sites_of(member, self._headers)

    async def owner_of(self, partition: int) -> Member | None:
        """Who owns a partition; None if nobody does at this moment."""
        return next((member for member in await self.members() if partition in member.partitions), None)
