"""What the index of dead letters answers with. Times are UTC milliseconds."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

from console.desk.grouping import Group
from console.desk.places import Place

HOUR_MS = 3_600_000
VALUE_KEPT = 1_024  # bytes of a value that the index holds


class State(StrEnum):
    """What was done about a letter: the last of its acts says so."""

    WAITING = "waiting"
    REPLAYED = "replayed"
    DISCARDED = "discarded"
    PARKED = "parked"


STATES = tuple(State)  # the index has them by number


class Cursor(NamedTuple):
    """The last letter of a page: the next page begins behind it."""

    timestamp: int
    place: int

    def __str__(self) -> str:
        return f"{self.timestamp}-{self.place}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is no cursor.
        """
        timestamp, _, place = text.rpartition("-")
        if not (timestamp.lstrip("-").isdecimal() and place.isdecimal() and len(text) < 50):
            raise ValueError(f"not a place in a list: {text[:60]!r}")
        return cls(int(timestamp), int(place))


@dataclass(frozen=True, slots=True)
class IndexedLetter:
    """A letter as the index has it; `console.desk.whole_letters` reads the whole of it.

    `timestamp` is that of the refused record, `posted_at` that of the letter itself, from which its retention counts.
    `value` is its first `VALUE_KEPT` bytes of `size`; both are None for a tombstone.
    """

    id: str
    place: Place
    topic: str
    partition: int
    offset: int
    error_class: str
    stage: str
    path: str
    message: str
    timestamp: int
    posted_at: int
    attempts: int
    root: str
    first_failed_at: int
    producer: str
    group: str
    site: str | None
    sku: str | None
    state: State
    value: bytes | None
    size: int | None
    cursor: Cursor

    @property
    def cut(self) -> bool:
        """Whether the value is longer than what is here of it."""
        return self.size is not None and self.size > VALUE_KEPT


@dataclass(frozen=True, slots=True)
class IndexedAct:
    """An entry of the audit log about a letter.

    `run` is the command that it was part of, the same for all letters of a replay. `failed_again_as` is the id of the
    letter that the replayed record became, where it was refused once more. `offset` is the entry's in the audit log.
    """

    letter: str
    root: str
    at: int
    who: str
    action: str
    why: str
    run: str | None
    recipe: str | None
    recipe_sha256: str | None
    sent_to: str | None
    seq: int
    offset: int
    failed_again_as: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group with its counts. `oldest_waiting` is the hour in which the oldest waiting letter was written."""

    group: Group
    by_state: dict[State, int]
    first_seen: int
    last_seen: int
    oldest_waiting: int | None

    @property
    def id(self) -> str:
        """That of the group."""
        return self.group.id

    @property
    def letters(self) -> int:
        """All that the topic still holds."""
        return sum(self.by_state.values())

    @property
    def waiting(self) -> int:
        """Those that nothing was done about."""
        return self.by_state[State.WAITING]


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """How many letters there are: all that the topic still holds, and those that wait for somebody to act.

    One that failed again after a replay is another letter of the same chain. `expired` letters are gone from the topic
    since the index was built, `expired_waiting` of them without anybody having done anything.
    """

    by_state: dict[State, int]
    by_class: Counter[str]
    by_topic: Counter[str]
    waiting_by_class: Counter[str]
    chains: int
    unreadable: int
    expired: int = 0
    expired_waiting: int = 0
    oldest_waiting: int | None = None

    @property
    def total(self) -> int:
        """All states together."""
        return sum(self.by_state.values())

    @property
    def waiting(self) -> int:
        """Those that nothing was done about."""
        return self.by_state[State.WAITING]


@dataclass(frozen=True, slots=True)
class Trend:
    """Letters by the hour in which they were written; hours without any are left out."""

    hours: dict[int, int] = field(default_factory=dict[int, int])

    def counts(self, end: int, bins: int, bin_ms: int = HOUR_MS) -> list[int]:
        """The counts of `bins` spans of `bin_ms` up to and with the one that holds `end`, the oldest first."""
        last, counts = end // bin_ms, [0] * bins
        for start, count in self.hours.items():
            number = start // bin_ms - last + bins - 1
            if 0 <= number < bins:
                counts[number] += count
        return counts
