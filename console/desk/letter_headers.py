"""A record of the dead-letter topic as a row of the index: what `DeadLetter.from_record` and `group_of` say, in one go.

A million letters must be indexed in seconds, so a header is decoded only where it is needed, and the value is parsed
once. A test holds that both ways say the same.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from console.desk.grouping import Group, form_of, path_shown, producer_of
from console.desk.indexed import VALUE_KEPT
from console.desk.letters import text_of_field
from console.desk.origins import OFFSETS, PARTITIONS
from schemas import dead_letters as names
from schemas.errors import ErrorClass

_CLASSES = {one.value.encode(): one.value for one in ErrorClass}
_TIMES = 1 << 62  # so far from now no time is; SQLite has 64 bits


class LetterRow(NamedTuple):
    """A letter for the index. `root` is None where it is the letter itself, `path` where it is the group's."""

    topic: str
    partition: int
    offset: int
    group: Group
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


def read_letter(value: bytes | None, headers: Sequence[tuple[str, bytes]], producer_header: str) -> LetterRow | None:
    """The letter in a record; None if it is none of ours."""
    ours = dict(headers)
    try:
        topic, error_class, stage, path, shown = _kind(
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
    form = form_of(value, path)
    producer = producer_of(_first(headers, producer_header) if producer_header in ours else None)
    content = form.content
    return LetterRow(
        topic,
        partition,
        offset,
        Group(topic, error_class, shown, producer, form.structure, form.pattern),
        timestamp,
        attempts,
        None if root == f"{topic}/{partition}/{offset}" else root,
        first_failed_at,
        None if value is None else len(value),
        text_of_field(content, value, "site_id"),
        text_of_field(content, value, "sku"),
        stage,
        None if shown == path else path,
        message,
        value if value is None or len(value) <= VALUE_KEPT else value[:VALUE_KEPT],
    )


@lru_cache(maxsize=4_096)
def _kind(topic: bytes, error_class: bytes, stage: bytes, path: bytes) -> tuple[str, str, str, str, str]:
    """What thousands of letters have in common, and the path as their group has it.

    Raises:
        KeyError, ValueError, AttributeError, TypeError: a header is not what it should be.
    """
    path_text = path.decode()
    return topic.decode(), _CLASSES[error_class], stage.decode(), path_text, path_shown(path_text)


def _first(headers: Sequence[tuple[str, bytes]], wanted: str) -> bytes | None:
    return next((data for name, data in headers if name == wanted and data), None)
