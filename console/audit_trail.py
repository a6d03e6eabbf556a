"""The audit log examined: is its chain whole, and is a head that was noted earlier still in it?"""

from dataclasses import dataclass

from console.audit import Problem
from console.progress import Meter
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.audit_chain import ChainCheck
from schemas.records import partition_key
from schemas.topics import TopicRole


@dataclass(frozen=True, slots=True)
class Trail:
    """What the audit log is. `head` is the hash of its last entry: noted elsewhere, it shows later if a tail is cut.

    `unchained` entries are of versions that knew no chain.
    """

    where: str = ""
    entries: int = 0
    head: str = ""
    unchained: int = 0
    problem: str | None = None

    @property
    def intact(self) -> bool:
        """Whether every entry follows the one before it as it was written."""
        return self.problem is None

    def as_json(self) -> dict[str, object]:
        """The stable shape of `audit_log` in `audit --json`."""
        return {
            "entries": self.entries,
            "head": self.head,
            "intact": self.intact,
            "unchained": self.unchained,
            "problem": self.problem,
        }

    def problems(self) -> list[Problem]:
        """What an audit says about it."""
        return [] if self.problem is None else [Problem(self.where, f"the chain of the audit log: {self.problem}")]


async def examine_trail(settings: Settings, noted_head: str | None = None) -> Trail:
    """Follow the whole audit log, as far as it is committed.

    Raises:
        KafkaError: the brokers do not answer.
    """
    topic, check = settings.topics.name(TopicRole.AUDIT_LOG), ChainCheck(sought=noted_head or "")
    with Meter("following the audit log", unit="entries") as meter:
        async for records in read_topic(settings.kafka, topic):
            for record in records:
                check.add(record.value)
            meter.advance(len(records))
    problem = check.problem
    if problem is None and noted_head and not check.found:
        problem = f"the head {noted_head} that was noted is not in it: its end was cut off, or all of it replaced"
    return Trail(partition_key(topic, 0), check.head.seq, check.head.hash, check.unchained, problem)
