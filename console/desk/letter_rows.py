"""Records of the dead-letter topic as rows of the index: what `DeadLetter.from_record` says, and the group, in one go.

A million letters must be indexed in seconds. So what many letters have in common is worked out once for all of them,
the value is parsed once, and rows are not objects. A test holds that both ways say the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, Self

import msgspec

from console.desk.grouping import Group, Parts, form_of, parts_of, path_shown, producer_in, producer_of
from console.desk.indexed import VALUE_KEPT
from console.desk.places import OFFSETS, PARTITIONS, place_of
from console.desk.texts import plain_or_none, text_of_field
from runtime.source_record import SourceRecord
from schemas import dead_letters as names
from schemas.errors import ErrorClass

_CLASSES = {one.value.encode(): one.value for one in ErrorClass}
_TIMES = 1 << 62  # so far from now no time is; SQLite has 64 bits

#: Of the index's table of letters, in its order.
COLUMNS = (
    "place", "origin", "group_no", "state", "timestamp", "posted_at", "attempts", "root",
    "first_failed_at", "size", "site", "sku", "stage", "path", "message", "value",
)  # fmt: skip
_WIDTH = len(COLUMNS)
_AT = {name: n for n, name in enumerate(COLUMNS)}


class LetterRows(msgspec.Struct, array_like=True, gc=False):
    """Rows of the index's table of letters; `values` are those of the first row, then those of the second, and so on.

    A list for each row would double what it takes to hand rows on and to complete them.
    """

    values: list[Any]

    def __len__(self) -> int:
        return len(self.values) // _WIDTH

    def __getitem__(self, column: str) -> list[Any]:
        return self.values[_AT[column] :: _WIDTH]

    def __setitem__(self, column: str, values: list[Any]) -> None:
        self.values[_AT[column] :: _WIDTH] = values

    def portions(self, rows: int) -> Iterator[tuple[int, list[Any]]]:
        """The values of so many rows at a time, each with the number of rows that it has."""
        for start in range(0, len(self.values), rows * _WIDTH):
            values = self.values[start : start + rows * _WIDTH]
            yield len(values) // _WIDTH, values

    def from_place(self, place: int) -> Self:
        """A copy of those that lie at a place or behind it; rows are in the order of their places."""
        first = next((n for n, at in enumerate(self["place"]) if at >= place), len(self))
        return type(self)(self.values[first * _WIDTH :])


class SourcePartition(NamedTuple):
    """The partition that refused records were in."""

    topic: str
    partition: int


class Stretch(msgspec.Struct, array_like=True, tag=True):
    """What a stretch of offsets of one partition of the dead-letter topic holds, up to `end`.

    Numbers that the index gives out are not in `letters` yet: `origin` has the position in `sources` where the number
    of a partition belongs, `group_no` is a position in `groups`, `root` is an id, and None where it is the letter
    itself; `state` is that of a new letter. `path` is None where it is the group's. `strangers` are places of records
    that are no letters.
    """

    partition: int
    end: int
    sources: list[SourcePartition]
    groups: list[Group]
    letters: LetterRows
    strangers: list[int]


def stretch_of(partition: int, records: Sequence[SourceRecord], producer_header: str) -> Stretch:
    """Read records of a partition, at least one, in the order of their offsets."""
    reader = _Reader(partition, producer_header)
    for record in records:
        reader.read(record)
    return Stretch(
        partition=partition,
        end=records[-1].offset + 1,
        sources=[*reader.sources],
        groups=reader.groups,
        letters=LetterRows(reader.values),
        strangers=reader.strangers,
    )


class _Common(msgspec.Struct, frozen=True, eq=False):
    """What the headers of thousands of letters have in common. As a key it is itself, whatever it holds."""

    source: SourcePartition
    before_offset: bytes  # of an id
    attempts: int
    error_class: str
    stage: str
    path: str
    parts: Parts  # of the path
    shown: str  # the path as the group has it
    producer: str


_of_many = itemgetter(  # what `_Common` is made from
    names.ORIGINAL_TOPIC,
    names.ORIGINAL_PARTITION,
    names.ERROR_CLASS,
    names.ERROR_STAGE,
    names.ERROR_PATH,
    names.ATTEMPTS,
    names.PIPELINE_VERSION,
)
_of_one = itemgetter(
    names.ORIGINAL_OFFSET,
    names.ORIGINAL_TIMESTAMP,
    names.FIRST_FAILED_AT,
    names.ROOT,
    names.ERROR_MESSAGE,
)


class _Reader:
    """Reads records, and numbers groups and sources in the order in which they come."""

    def __init__(self, partition: int, producer_header: str) -> None:
        self._first, self._producer_header = place_of(partition, 0), producer_header
        self._numbers = dict[tuple[_Common, str, str], tuple[int, int]]()
        self.sources = dict[SourcePartition, int]()
        self.groups = list[Group]()
        self.values = list[Any]()
        self.strangers = list[int]()

    def read(self, record: SourceRecord) -> None:
        """Add a row, or a stranger if the record is no letter of ours."""
        place, value = self._first | record.offset, record.value
        try:
            common, offset, timestamp, first_failed_at, root, message = self._headers(record)
        except (KeyError, ValueError, TypeError, AttributeError):  # a header may have no value, whatever its type says
            self.strangers.append(place)
            return
        content, structure, pattern = form_of(value, common.parts)
        key = (common, structure, pattern)
        source, group = self._numbers.get(key) or self._number(key)
        self.values += (
            place,
            source | offset,
            group,
            0,
            timestamp,
            record.timestamp,
            common.attempts,
            root,
            first_failed_at,
            None if value is None else len(value),
            _field(content, value, "site_id"),
            _field(content, value, "sku"),
            common.stage,
            None if common.shown is common.path else common.path,
            message,
            value if value is None or len(value) <= VALUE_KEPT else value[:VALUE_KEPT],
        )

    def _headers(self, record: SourceRecord) -> tuple[_Common, int, int, int, str | None, str]:
        """What is common, then offset, timestamp, time of the first failure, root where it is another, and message.

        Raises:
            KeyError, ValueError, AttributeError, TypeError: a header is missing, or not what it should be.
        """
        every = record.headers
        headers = dict(every)  # the last of each name
        once = len(headers) == len(every)
        wanted = self._producer_header
        producer = producer_of(headers.get(wanted)) if once else producer_in(every, wanted)
        common = _common(_of_many(headers), producer)
        offset_text, timestamp_text, failed_text, root, message = _of_one(headers)
        offset, timestamp, first_failed_at = int(offset_text), int(timestamp_text), int(failed_text)
        if not (0 <= offset < OFFSETS and -_TIMES < timestamp < _TIMES and -_TIMES < first_failed_at < _TIMES):
            raise ValueError(offset, timestamp, first_failed_at)
        inherited = None if root == b"%b%d" % (common.before_offset, offset) else root.decode()
        return common, offset, timestamp, first_failed_at, inherited, message.decode()

    def _number(self, key: tuple[_Common, str, str]) -> tuple[int, int]:
        common, structure, pattern = key
        source = place_of(self.sources.setdefault(common.source, len(self.sources)), 0)
        self._numbers[key] = source, len(self.groups)
        topic = common.source.topic
        self.groups.append(Group(topic, common.error_class, common.shown, common.producer, structure, pattern))
        return self._numbers[key]


@lru_cache(maxsize=4_096)
def _common(headers: tuple[bytes, ...], producer: str) -> _Common:
    """
    Raises:
        KeyError, ValueError, AttributeError, TypeError: a header is not what it should be.
    """
    topic, partition, error_class, stage, path, attempts, version = headers
    version.decode()
    source, path_text = SourcePartition(topic.decode(), int(partition)), path.decode()
    if not (0 <= source.partition < PARTITIONS and 0 <= int(attempts) < _TIMES):
        raise ValueError(headers)
    return _Common(
        source=source,
        before_offset=f"{source.topic}/{source.partition}/".encode(),
        attempts=int(attempts),
        error_class=_CLASSES[error_class],
        stage=stage.decode(),
        path=path_text,
        parts=parts_of(path_text),
        shown=path_shown(path_text),
        producer=producer,
    )


def _field(content: Mapping[str, Any] | None, value: bytes | None, name: str) -> str | None:
    return plain_or_none(text_of_field(content, value, name))
