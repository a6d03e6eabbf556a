"""Records of the dead-letter topic as rows of the index: what `DeadLetter.from_record` and `group_of` say, in one go.

A million letters must be indexed in seconds, so a header is decoded only where it is needed, the value is parsed once,
and what many letters have in common, their group and the partition that they are from, is said once for all of them. A
test holds that both ways say the same.
"""

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import msgspec

from console.desk.grouping import NO_PRODUCER, Group, form_of, path_shown, producer_of
from console.desk.index_filter import plain_or_none
from console.desk.indexed import VALUE_KEPT
from console.desk.letters import text_of_field
from console.desk.origins import OFFSETS, PARTITIONS
from runtime.source_record import SourceRecord
from schemas import dead_letters as names
from schemas.errors import ErrorClass

_CLASSES = {one.value.encode(): one.value for one in ErrorClass}
_TIMES = 1 << 62  # so far from now no time is; SQLite has 64 bits
K = TypeVar("K", bound=Hashable)


class SourcePartition(NamedTuple):
    """The partition that refused records were in."""

    topic: str
    partition: int


class LetterRow(msgspec.Struct, array_like=True, gc=False):
    """A letter for the index. `group` and `source` are positions in the lists of its stretch.

    `place` is the offset in the dead-letter topic, `offset` that of the refused record. `root` is None where it is the
    letter itself, `path` where it is the group's.
    """

    place: int
    posted_at: int
    source: int
    offset: int
    group: int
    timestamp: int
    attempts: int
    root: str | None
    first_failed_at: int
    size: int | None
    site: str | None
    sku: str | None
    stage: str
    path: str | None
    message: str
    value: bytes | None


class Stretch(msgspec.Struct, array_like=True):
    """What a stretch of offsets of one partition of the dead-letter topic holds, up to `end`.

    `strangers` are offsets of records that are no letters.
    """

    partition: int
    end: int
    sources: list[SourcePartition]
    groups: list[Group]
    letters: list[LetterRow]
    strangers: list[int]


class _Kind(NamedTuple):
    """What thousands of letters have in common; `shown` is the path as their group has it."""

    topic: str
    error_class: str
    stage: str
    path: str
    shown: str


def stretch_of(partition: int, records: Sequence[SourceRecord], producer_header: str) -> Stretch:
    """Read records of a partition, at least one, in the order of their offsets."""
    reader, letters, strangers = _Reader(producer_header), list[LetterRow](), list[int]()
    for record in records:
        row = reader.row(record)
        if row is None:
            strangers.append(record.offset)
        else:
            letters.append(row)
    return Stretch(
        partition=partition,
        end=records[-1].offset + 1,
        sources=[SourcePartition(*source) for source in reader.sources],
        groups=[
            Group(kind.topic, kind.error_class, kind.shown, producer, *form) for kind, producer, *form in reader.groups
        ],
        letters=letters,
        strangers=strangers,
    )


class _Reader:
    """Reads records, and numbers groups and sources in the order in which they come."""

    def __init__(self, producer_header: str) -> None:
        self._producer_header = producer_header
        self.sources = dict[tuple[str, int], int]()
        self.groups = dict[tuple[_Kind, str, str, str], int]()

    def row(self, record: SourceRecord) -> LetterRow | None:
        """The letter in a record; None if it is none of ours."""
        value, headers = record.value, record.headers
        ours = dict(headers)
        try:
            kind = _kind(
                ours[names.ORIGINAL_TOPIC], ours[names.ERROR_CLASS], ours[names.ERROR_STAGE], ours[names.ERROR_PATH]
            )
            partition, offset = int(ours[names.ORIGINAL_PARTITION]), int(ours[names.ORIGINAL_OFFSET])
            timestamp, first_failed_at = int(ours[names.ORIGINAL_TIMESTAMP]), int(ours[names.FIRST_FAILED_AT])
            attempts, root = int(ours[names.ATTEMPTS]), ours[names.ROOT].decode()
            message = ours[names.ERROR_MESSAGE].decode()
            ours[names.PIPELINE_VERSION].decode()
        except (KeyError, ValueError, TypeError, AttributeError):  # a header may have no value, whatever its type says
            return None
        if not (0 <= partition < PARTITIONS and 0 <= offset < OFFSETS and 0 <= attempts < _TIMES):
            return None
        if not (-_TIMES < timestamp < _TIMES and -_TIMES < first_failed_at < _TIMES):
            return None
        content, structure, pattern = form_of(value, kind.path)
        producer = producer_of(_first(headers, self._producer_header)) if self._producer_header in ours else NO_PRODUCER
        return LetterRow(
            record.offset,
            record.timestamp,
            _numbered(self.sources, (kind.topic, partition)),
            offset,
            _numbered(self.groups, (kind, producer, structure, pattern)),
            timestamp,
            attempts,
            None if root == f"{kind.topic}/{partition}/{offset}" else root,
            first_failed_at,
            None if value is None else len(value),
            plain_or_none(text_of_field(content, value, "site_id")),
            plain_or_none(text_of_field(content, value, "sku")),
            kind.stage,
            None if kind.shown == kind.path else kind.path,
            message,
            value if value is None or len(value) <= VALUE_KEPT else value[:VALUE_KEPT],
        )


def _numbered(numbers: dict[K, int], key: K) -> int:
    return numbers.setdefault(key, len(numbers))


@lru_cache(maxsize=4_096)
def _kind(topic: bytes, error_class: bytes, stage: bytes, path: bytes) -> _Kind:
    """
    Raises:
        KeyError, ValueError, AttributeError, TypeError: a header is not what it should be.
    """
    path_text = path.decode()
    return _Kind(topic.decode(), _CLASSES[error_class], stage.decode(), path_text, path_shown(path_text))


def _first(headers: Iterable[tuple[str, bytes]], wanted: str) -> bytes | None:
    for name, data in headers:
        if name == wanted and data:
            return data
    return None
