"""What a filter of letters means in SQL."""

from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from console.desk.indexed import STATES, Cursor, State
from console.desk.letter_filter import LetterFilter
from console.desk.texts import plain


@dataclass(slots=True)
class Where:
    """A condition with the values of its places."""

    parts: list[str] = field(default_factory=list[str])
    values: list[object] = field(default_factory=list[object])

    def add(self, part: str, *values: object) -> None:
        """One more thing that must hold."""
        self.parts.append(part)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(f"({part})" for part in self.parts) or "1"


def is_of_groups(wanted: LetterFilter) -> bool:
    """Whether groups alone say which letters are meant, so that none of these must be looked at."""
    of_letters = (wanted.ids, wanted.site, wanted.sku, wanted.text, wanted.since, wanted.until)
    return all(part is None or part == frozenset() for part in of_letters)


def groups_where(wanted: LetterFilter, states: Collection[State] = ()) -> Where:
    """The groups (`g`) that letters of which are meant."""
    where = Where()
    if wanted.classes:
        where.add(f"g.error_class IN ({_marks(wanted.classes)})", *(one.value for one in wanted.classes))
    if wanted.topic is not None:
        where.add("g.topic = ?", wanted.topic)
    if wanted.groups:
        where.add(f"g.id IN ({_marks(wanted.groups)})", *wanted.groups)
    if states:  # a group that has none of them need not be looked through
        where.add(" OR ".join(f"g.{state.value} > 0" for state in states))
    return where


def letters_where(
    wanted: LetterFilter,
    origins: Collection[int],
    *,
    states: Collection[State] = (),
    before: Cursor | None = None,
    confirmed: Collection[int] = (),
    unsure: bool = False,
) -> Where:
    """The letters (`l`, with their groups `g`) that are meant.

    `origins` are the numbers of `wanted.ids`; `confirmed` are letters that have the text beyond what the index holds
    of their value. `unsure`: those that may have it there.
    """
    where = groups_where(wanted, states)
    if states:
        where.add(f"l.state IN ({_marks(states)})", *(STATES.index(state) for state in states))
    if wanted.ids:
        where.add("l.origin IN (SELECT value FROM json_each(?))", _json(origins))
    for column, value in (("l.site", wanted.site), ("l.sku", wanted.sku)):
        if value is not None:
            where.add(f"{column} = ?", plain(value))
    if wanted.since is not None:
        where.add("l.timestamp >= ?", wanted.since)
    if wanted.until is not None:
        where.add("l.timestamp < ?", wanted.until)
    if wanted.text is not None:
        _add_text(where, wanted.text, confirmed, unsure=unsure)
    if before is not None:
        where.add("(l.timestamp, l.place) < (?, ?)", *before)
    return where


def _add_text(where: Where, text: str, confirmed: Collection[int], *, unsure: bool) -> None:
    has_it = "coalesce(instr(l.value, ?) > 0, 0) OR instr(l.message, ?) > 0"
    values = [plain(text).encode(), plain(text)]
    if unsure:
        where.add(f"NOT ({has_it})", *values)
    else:
        where.add(f"{has_it} OR l.place IN (SELECT value FROM json_each(?))", *values, _json(confirmed))


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _json(numbers: Collection[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()
