"""Dead letters on the wire: the original value byte for byte, everything else in headers.

Original headers come first, ours (`dlq.*`) after them. A chain of failures (a record that was replayed and failed
again) shares one `root`, and counts its `attempts`.
"""

from dataclasses import dataclass
from typing import Self

from schemas.errors import ErrorClass
from schemas.records import partition_key

Headers = tuple[tuple[str, bytes], ...]

ORIGINAL_TOPIC = "dlq.original.topic"
ORIGINAL_PARTITION = "dlq.original.partition"
ORIGINAL_OFFSET = "dlq.original.offset"
ORIGINAL_TIMESTAMP = "dlq.original.timestamp"
ORIGINAL_KEY = "dlq.original.key"
ERROR_CLASS = "dlq.error.class"
ERROR_STAGE = "dlq.error.stage"
ERROR_PATH = "dlq.error.path"
ERROR_MESSAGE = "dlq.error.message"
ATTEMPTS = "dlq.attempts"
ROOT = "dlq.root"
FIRST_FAILED_AT = "dlq.first-failed-at"
PIPELINE_VERSION = "dlq.pipeline-version"
RECIPE = "dlq.recipe"  # of a replayed record: the recipe that made it, `name@` and its SHA-256
PREFIX = "dlq."


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record with its coordinates and the reason. Times are UTC milliseconds."""

    value: bytes | None
    headers: Headers  # the original ones, without ours
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    error_class: ErrorClass
    stage: str
    path: str
    message: str
    attempts: int
    root: str
    first_failed_at: int
    pipeline_version: str

    @property
    def id(self) -> str:
        """`topic/partition/offset` of the refused record, the key on the dead-letter topic."""
        return f"{partition_key(self.topic, self.partition)}/{self.offset}"

    def to_headers(self) -> list[tuple[str, bytes]]:
        """The original headers, then ours. The key header is absent where the record had no key."""
        ours: list[tuple[str, str]] = [
            (ORIGINAL_TOPIC, self.topic),
            (ORIGINAL_PARTITION, str(self.partition)),
            (ORIGINAL_OFFSET, str(self.offset)),
            (ORIGINAL_TIMESTAMP, str(self.timestamp)),
            (ERROR_CLASS, self.error_class.value),
            (ERROR_STAGE, self.stage),
            (ERROR_PATH, self.path),
            (ERROR_MESSAGE, self.message),
            (ATTEMPTS, str(self.attempts)),
            (ROOT, self.root),
            (FIRST_FAILED_AT, str(self.first_failed_at)),
            (PIPELINE_VERSION, self.pipeline_version),
        ]
        key = [] if self.key is None else [(ORIGINAL_KEY, self.key)]
        return [*self.headers, *((name, text.encode()) for name, text in ours), *key]

    @classmethod
    def from_record(cls, value: bytes | None, headers: Headers) -> Self:
        """Read a dead letter back from its topic.

        Raises:
            ValueError: a header of ours is missing or not what it should be.
        """
        ours = {name: data for name, data in headers if name.startswith(PREFIX)}
        try:
            return cls(
                value=value,
                headers=tuple((n, d) for n, d in headers if not n.startswith(PREFIX)),
                topic=ours[ORIGINAL_TOPIC].decode(),
                partition=int(ours[ORIGINAL_PARTITION]),
                offset=int(ours[ORIGINAL_OFFSET]),
                timestamp=int(ours[ORIGINAL_TIMESTAMP]),
                key=ours.get(ORIGINAL_KEY),
                error_class=ErrorClass(ours[ERROR_CLASS].decode()),
                stage=ours[ERROR_STAGE].decode(),
                path=ours[ERROR_PATH].decode(),
                message=ours[ERROR_MESSAGE].decode(),
                attempts=int(ours[ATTEMPTS]),
                root=ours[ROOT].decode(),
                first_failed_at=int(ours[FIRST_FAILED_AT]),
                pipeline_version=ours[PIPELINE_VERSION].decode(),
            )
        except KeyError as missing:
            raise ValueError(f"not a dead letter: header {missing} is missing") from None
        except (AttributeError, TypeError) as error:  # a header may have no value, whatever its type says
            raise ValueError(f"not a dead letter: {error}") from None


def _count(digits: bytes) -> int:
    """A number from 0 that fits 63 bits.

    Raises:
        ValueError, TypeError: it is none.
    """
    number = int(digits)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"{number} is out of range")
    return number


@dataclass(frozen=True, slots=True)
class Chain:
    """What a replayed record brings along from its earlier failures."""

    attempts: int = 0
    root: str | None = None
    first_failed_at: int | None = None

    @classmethod
    def of(cls, headers: Headers) -> Self:
        """The chain that a source record's headers continue; an empty one where they are absent or odd."""
        ours = {name: data for name, data in headers if name in (ATTEMPTS, ROOT, FIRST_FAILED_AT)}
        try:
            return cls(
                attempts=_count(ours.get(ATTEMPTS, b"0")),
                root=ours[ROOT].decode() if ROOT in ours else None,
                first_failed_at=_count(ours[FIRST_FAILED_AT]) if FIRST_FAILED_AT in ours else None,
            )
        except (ValueError, TypeError, AttributeError):  # a header may have no value, whatever its type says
            return cls()

    def to_headers(self) -> list[tuple[str, bytes]]:
        """The headers with which a replay sends the record back."""
        pairs = ((ATTEMPTS, self.attempts), (ROOT, self.root), (FIRST_FAILED_AT, self.first_failed_at))
        return [(name, str(value).encode()) for name, value in pairs if value is not None]
