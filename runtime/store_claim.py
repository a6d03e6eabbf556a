"""Whose batches a store holds: one pipeline's, so that nobody takes another's batches for leftovers.

A pipeline is known by its batches topic, by name and id: a topic that was recreated announces none of the old files.
"""

from runtime.connections import topic_id
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.store import BatchStore
from schemas.topics import TopicRole


def claim_store(store: BatchStore, settings: Settings) -> None:
    """Claim a store for the pipeline of these settings. Blocks.

    Raises:
        SettingsRefused: it is another's.
        StoreUnavailable: it cannot be asked now.
        KafkaException: the brokers do not answer.
    """
    _check(store.claim(_owner(settings)), settings)


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
