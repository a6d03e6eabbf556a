"""Whose batches a store holds: one pipeline's, so that nobody takes another's batches for leftovers.

A pipeline is known by its batches topic, by name and id: a topic that was recreated announces none of the old files.
"""

from collections.abc import Sequence

import msgspec

from runtime.connections import topic_id
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.store import CLAIM, BatchStore, StoreUnavailable
from runtime.topic_reader import read_topic, topic_bounds
from schemas.codecs import decode
from schemas.records import Manifest
from schemas.topics import TopicRole

_SPAN = 100  # offsets of each partition that are looked through first: manifests, and what transactions take themselves


def pipeline_of(settings: Settings) -> str:
    """What a store is claimed for: name and id of the batches topic. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    topic = settings.topics.name(TopicRole.BATCHES)
    return f"{topic} {topic_id(settings.kafka, topic)}"


def claim_store(store: BatchStore, pipeline: str, newest: Sequence[str]) -> None:
    """Claim a store for a pipeline, of whose last batches some are named. Blocks.

    A store without a claim is a new one, which is right before the first batch. Later it is the folder beneath a volume
    that is not mounted, or a wrong address, unless it has the newest batches.

    Raises:
        SettingsRefused: it is another's.
        StoreUnavailable: it cannot be asked now, or is without a claim and lacks the newest batches.
    """
    if newest and store.claimed_by() is None and not any(map(store.exists, newest)):
        raise StoreUnavailable(
            "nobody has claimed the batch store, and it lacks the newest batches that were announced, such as "
            f"{newest[0]}: is its volume mounted? Is VELOCITY_STORE__URL right? If they are lost for good, and you "
            f"want to go on without them, write `{pipeline}` into {CLAIM} of the store."
        )
    _check(store.claim(pipeline), pipeline)


def check_claim(store: BatchStore, settings: Settings) -> None:
    """Make sure that a store has been claimed by the pipeline of these settings. Blocks.

    Raises:
        SettingsRefused: it is another's, or nobody's.
        StoreUnavailable: it cannot be asked now.
        KafkaException: the brokers do not answer.
    """
    found = store.claimed_by()
    if found is None:
        raise SettingsRefused(
            f"nobody has claimed the batch store {settings.store.url}: has a stream worker run on it?"
        )
    _check(found, pipeline_of(settings))


def _check(found: str, pipeline: str) -> None:
    if found != pipeline:
        raise SettingsRefused(
            f"the batch store belongs to another pipeline, whose batches topic is {found}; this one's is {pipeline}. "
            "Give each pipeline a store of its own (VELOCITY_STORE__URL)."
        )


async def newest_batches(settings: Settings) -> list[str]:
    """Paths of some of the last batches that were announced; none if none ever was.

    Raises:
        KafkaException, KafkaError: the brokers do not answer.
    """
    topic = settings.topics.name(TopicRole.BATCHES)
    bounds = (await topic_bounds(settings.kafka, [topic]))[topic]
    ends = {number: bound.end for number, bound in bounds.items() if bound.end > bound.begin}
    span, paths = _SPAN, list[str]()
    while not paths:  # what was aborted takes offsets, too
        starts = {number: max(bounds[number].begin, end - span) for number, end in ends.items()}
        async for records in read_topic(settings.kafka, topic, starts=starts, ends=ends):
            paths += [path for record in records if (path := _path(record.value))]
        if all(start == bounds[number].begin for number, start in starts.items()):
            break
        span *= 10
    return paths


def _path(value: bytes | None) -> str | None:
    try:
        return decode(value or b"", Manifest).path
    except msgspec.DecodeError:  # the audit names what else is among the manifests
        return None
