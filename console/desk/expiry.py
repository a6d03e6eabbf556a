"""When dead letters are removed by their topic's retention, and how long before that it is said."""

from collections.abc import Mapping
from dataclasses import dataclass

from console.progress import duration_text
from runtime.settings import Settings
from runtime.topics import read_topics
from schemas.topics import DAY_MS, TopicRole

WARN_MS = 14 * DAY_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the dead-letter topic keeps a record, in milliseconds after it was written; None is without limit.

    The broker removes whole segments of its log, so a letter may live on for a while, but nobody can rely on that.
    """

    ms: int | None

    def expires_at(self, posted_at: int | None) -> int | None:
        """From when on a letter may be gone; None where it is never."""
        return None if self.ms is None or posted_at is None else posted_at + self.ms

    def warn_before(self, now: int) -> int | None:
        """Letters written before this instant are soon gone; None where none ever is."""
        return None if self.ms is None else now + WARN_MS - self.ms

    def is_near(self, posted_at: int | None, now: int) -> bool:
        """Whether a letter is soon gone, and it is time to say so."""
        expires_at = self.expires_at(posted_at)
        return expires_at is not None and expires_at - now < WARN_MS


UNLIMITED = Retention(None)


def read_retention(settings: Settings) -> Retention:
    """What the broker says; no limit where we are not allowed to ask. Blocks.

    Raises:
        KafkaException: the brokers do not answer.
    """
    facts = read_topics(settings).get(settings.topics.name(TopicRole.DEAD_LETTERS))
    return Retention(retention_ms(facts.config if facts is not None and facts.config is not None else {}))


def retention_ms(config: Mapping[str, str]) -> int | None:
    """Of a topic's settings; None is without limit."""
    if "delete" not in config.get("cleanup.policy", "delete"):
        return None
    kept = int(config.get("retention.ms", "-1"))
    return None if kept < 0 else kept


def time_left(expires_at: int | None, now: int) -> str:
    """`76 d`, `5 h 12 min`, `any moment`; nothing where a letter is never removed."""
    if expires_at is None:
        return ""
    left = expires_at - now
    if left <= 0:
        return "any moment"
    return f"{left // DAY_MS} d" if left >= 2 * DAY_MS else duration_text(left / 1000)
