"""What the audit log and the failed-chunks topic hold, kept a moment: the newest of it."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from batcher.delivery.failed_chunks import History, read_histories
from console.insight.kafka_failures import kafka_failures
from console.insight.kept import Kept
from console.topic_records import decoded
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.audit_chain import ChainCheck
from schemas.records import AuditEntry
from schemas.topics import TopicRole

KEEP_S = 5.0
MOST_ENTRIES = 10_000  # of the audit log, the newest


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Whether the log's chain of hashes is whole, in words too."""

    whole: bool
    said: str


@dataclass(frozen=True, slots=True)
class Trail:
    """The newest entries of the audit log, the newest first, and how many there are in all."""

    entries: tuple[AuditEntry, ...]
    total: int
    chain: ChainVerdict


class TopicLogs:
    """Every method raises `CommandFailed` where the brokers do not answer, or a record is none of ours."""

    def __init__(self, settings: Settings, keep_s: float = KEEP_S) -> None:
        self._settings = settings
        self._kept = Kept[Any](keep_s)
        self._newest, self._check, self._next_offset = deque[AuditEntry](maxlen=MOST_ENTRIES), ChainCheck(), 0

    async def trail(self) -> Trail:
        """Who did what."""
        return await self._kept.get("trail", self._read_trail)

    async def failed_chunks(self) -> dict[str, History]:
        """Every chunk that failed once and is still in the topic, by id."""
        return await self._kept.get("chunks", self._read_chunks)

    async def _read_trail(self) -> Trail:
        """What came since it was last read: the log is kept for ever, and grows with every letter that is acted on."""
        topic = self._settings.topics.name(TopicRole.AUDIT_LOG)
        with kafka_failures(self._settings):
            async for records in read_topic(self._settings.kafka, topic, starts={0: self._next_offset}):
                for record in records:
                    self._newest.append(decoded(record, AuditEntry))
                    self._check.add(record.value)
                    self._next_offset = record.offset + 1
        head = self._check.head
        said = self._check.problem or f"{head.seq:,} entries, head {head.hash[:12]}"
        return Trail(tuple(reversed(self._newest)), head.seq, ChainVerdict(self._check.problem is None, said))

    async def _read_chunks(self) -> dict[str, History]:
        with kafka_failures(self._settings):
            return await read_histories(self._settings)
