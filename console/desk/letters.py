"""Reading the dead-letter topic: which letters there are, and which of them have been replayed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from console.desk.grouping import group_of
from console.desk.texts import field_text
from runtime.connections import partition_of
from runtime.settings import Settings
from runtime.topic_reader import end_offsets, read_topic
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.topics import TopicRole


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; an empty part means all. Times are those of the refused records, UTC milliseconds."""

    ids: frozenset[str] = frozenset()
    classes: frozenset[ErrorClass] = frozenset()
    topic: str | None = None
    since: int | None = None  # inclusive
    until: int | None = None  # exclusive
    site: str | None = None
    sku: str | None = None
    text: str | None = None
    groups: frozenset[str] = frozenset()
    producer_header: str = "producer"  # of which groups are made

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant. Sites and SKUs are looked for in the value as far as it can be read."""
        if (self.ids and letter.id not in self.ids) or (self.classes and letter.error_class not in self.classes):
            return False
        if self.topic is not None and letter.topic != self.topic:
            return False
        if not (self.since or 0) <= letter.timestamp < (1 << 63 if self.until is None else self.until):
            return False
        value = letter.value or b""
        if self.text is not None and self.text.encode() not in value and self.text not in letter.message:
            return False
        if self.groups and group_of(letter, self.producer_header).id not in self.groups:
            return False
        return all(
            wanted is None or field_text(value, name) == wanted
            for name, wanted in (("site_id", self.site), ("sku", self.sku))
        )


@dataclass(frozen=True, slots=True)
class Posted:
    """A letter and where it lies in the dead-letter topic; `letter` is None if the record there is none of ours."""

    letter: DeadLetter | None
    partition: int
    offset: int


async def read_letters(settings: Settings, letter_id: str | None = None) -> AsyncIterator[list[Posted]]:
    """Every committed dead letter up to now, in portions; only those of one partition where one id is wanted."""
    topic = settings.topics.name(TopicRole.DEAD_LETTERS)
    ends = await end_offsets(settings.kafka, topic, isolation="read_uncommitted")
    if letter_id is not None:
        partition = partition_of(letter_id, len(ends))
        ends = {partition: ends[partition]}
    async for records in read_topic(settings.kafka, topic, ends=ends):
        yield [_posted(record) for record in records]


def _posted(record: ConsumerRecord) -> Posted:
    try:
        letter = DeadLetter.from_record(record.value, tuple(record.headers))
    except ValueError:
        letter = None
    return Posted(letter, record.partition, record.offset)
