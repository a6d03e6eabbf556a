"""Whose batches a store holds: one pipeline's, so that nobody takes another's batches for leftovers.

A pipeline is known by its batches topic, by name and id: a topic that was recreated announces none of the old files.
"""

import asyncio

from runtime.connections import topic_id
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.store import CLAIM, BatchStore, StoreUnavailable
from runtime.topic_reader import read_topic, topic_bounds
from schemas.codecs import decode
from schemas.records import Manifest
from schemas.topics import TopicRole

_LAST_OFFSETS = 100  # manifests, and what transactions take for themselves


async def claim_store(store: BatchStore, settings: Settings) -> None:
    """Claim a store for the pipeline of these settings.

    A store without a claim is a new one, which is right before the first batch. Later it is the folder beneath a volume
    that is not mounted, or a wrong address, unless it has the newest batches.

    Raises:
        SettingsRefused: it is another's.
        StoreUnavailable: it cannot be asked now, or is without a claim and lacks the newest batches.
        KafkaException, KafkaError: the brokers do not answer.
    """
    if await asyncio.to_thread(store.claimed_by) is None:
        newest = await _newest_batches(settings)
        if newest and not await asyncio.to_thread(lambda: any(map(store.exists, newest))):
            raise StoreUnavailable(
                f"nobody has claimed the batch store {settings.store.url}, and it lacks the newest batches that were "
                f"announced, such as {newest[0]}: is its volume mounted? If they are lost for good, and you want to go "
                f"on without them, write `{await asyncio.to_thread(_owner, settings)}` into {CLAIM} of the store."
            )
    await asyncio.to_thread(lambda: _check(store.claim(_owner(settings)), settings))


async def _newest_batches(settings: Settings) -> list[str]:
    """Paths of some of the last batches that were announced on each partition."""
    topic = settings.topics.name(TopicRole.BATCHES)
    bounds = (await topic_bounds(settings.kafka, [topic]))[topic]
    starts = {number: max(bound.begin, bound.end - _LAST_OFFSETS) for number, bound in bounds.items()}
    ends = {number: bound.end for number, bound in bounds.items() if bound.end > bound.begin}
    paths: list[str] = []
    async for records in read_topic(settings.kafka, topic, starts=starts, ends=ends):
        paths += [decode(record.value, Manifest).path for record in records if record.value]
    return paths


def check_claim(store: BatchStore, settings: Settings) -> None:
    """Make sure that a store has been claimed by the pipeline of these settings. Blocks.

    Raises:
        SettingsRefused: it is another's, or nobody's.
        StoreUnavailable: it cannot be asked now.
        KafkaException: the brokers do not answer.
    """
    _check(store.claimed_by(), settings)


def _owner(settings: Settings) -> str:
    topic = settings.topics.name(TopicRole.BATCHES)
    return f"{topic} {topic_id(settings.kafka, topic)}"


def _check(found: str | None, settings: Settings) -> None:
    mine = _owner(settings)
    if found is None:
        raise SettingsRefused(
            f"nobody has claimed the batch store {settings.store.url}: has a stream worker run on it?"
        )
    if found != mine:
        raise SettingsRefused(
            f"the batch store {settings.store.url} belongs to another pipeline, whose batches topic is {found}; this "
            f"one's is {mine}. Give each pipeline a store of its own."
        )
