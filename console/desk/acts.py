"""What was done to dead letters, as the audit log tells it, and what may still be done. Pure.

A letter is acted on once: replayed, discarded or parked. Only a parked one may still be replayed or discarded. So a
record and its repaired version can never both go back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from schemas.dead_letters import DeadLetter
from schemas.records import AuditEntry

LETTER = "dead_letter"  # the letter's id
ROOT = "root"
RUN = "run"  # which command it was
SENT_TO = "sent_to"  # topic/partition/offset
RECIPE = "recipe"
RECIPE_SHA256 = "recipe_sha256"
Action = Literal["replay", "discard", "park"]

SAMPLES = 5


class Act(NamedTuple):
    """One thing that was done to one letter. `at` is in UTC milliseconds; empty texts where there is nothing."""

    action: str
    at: int
    who: str
    why: str = ""
    run: str = ""
    recipe: str = ""
    recipe_sha256: str = ""
    sent_to: str = ""

    @classmethod
    def of(cls, entry: AuditEntry) -> "Act":
        """The act that an entry is about."""
        what = entry.what
        details = (what.get(name, "") for name in (RUN, RECIPE, RECIPE_SHA256, SENT_TO))
        return cls(entry.action, entry.at, entry.who, entry.why, *details)


class ActBook:
    """The last act on each letter. Feed it every entry of the audit log in order."""

    def __init__(self) -> None:
        self._acts: dict[str, Act] = {}

    def take(self, entry: AuditEntry) -> None:
        """Note an entry; drains are about no letter."""
        letter_id = entry.what.get(LETTER)
        if letter_id is not None:
            self._acts[letter_id] = Act.of(entry)

    def of(self, letter_id: str) -> Act | None:
        """The last act on a letter."""
        return self._acts.get(letter_id)

    def hinders(self, letter_id: str, action: Action, *, include_parked: bool = False) -> Act | None:
        """The act because of which this one is not done."""
        act = self._acts.get(letter_id)
        if act is None or (act.action == "park" and (action == "discard" or (action == "replay" and include_parked))):
            return None
        return act


@dataclass(slots=True)
class Already:
    """Letters that one command had acted on before: `letters` of them, some by id; `at` of the first that was met."""

    act: Act
    letters: int = 0
    samples: list[str] = field(default_factory=list[str])

    def add(self, letter_id: str) -> None:
        """Count one."""
        self.letters += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(letter_id)


class Leftovers:
    """Letters that were left alone because something had been done to them, by the command that did it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Already] = {}

    def add(self, letter_id: str, act: Act) -> None:
        """One letter, and what had been done to it."""
        self._found.setdefault((act.action, act.who, act.run), Already(act)).add(letter_id)

    def __iter__(self) -> Iterator[Already]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return sum(already.letters for already in self._found.values())


def entry_of(
    letter: DeadLetter, action: Action, *, at: int, who: str, why: str, run: str, more: Mapping[str, str] | None = None
) -> AuditEntry:
    """The audit-log entry of an act on a letter."""
    what = {
        LETTER: letter.id,
        ROOT: letter.root,
        "error_class": letter.error_class.value,
        "attempts": str(letter.attempts),
        RUN: run,
        **(more or {}),
    }
    return AuditEntry(at=at, who=who, action=action, why=why, what=what)
