"""Asking the index of dead letters. Every method is synchronous and meant for a thread: `asyncio.to_thread`.

What it answers is as of the last `following.follow`. Filters that groups answer alone (class, source, group) cost
nothing to speak of, whatever the number of letters; all others look at the letters that are meant.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from console.desk.answers import act_in, group_in, letter_in
from console.desk.index_file import ask, open_file
from console.desk.index_filter import Where, groups_where, is_of_groups, letters_where
from console.desk.indexed import (
    STATES,
    VALUE_KEPT,
    Cursor,
    GroupSummary,
    IndexedAct,
    IndexedLetter,
    LetterCounts,
    Place,
    State,
    Trend,
)
from console.desk.letter_filter import LetterFilter
from console.desk.origins import Origins
from console.desk.places import place_of, split
from console.desk.statements import statement

EVERYTHING = LetterFilter()


class DeskIndex:
    """The index, open; for one thread at a time. Close it, or use it as a context manager."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._origins = Origins(connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, which is made where there is none; opening costs less than a millisecond.

        Raises:
            CommandFailed: it cannot be written.
        """
        return cls(open_file(path))

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stats(self, wanted: LetterFilter = EVERYTHING, *, confirmed: Collection[int] = ()) -> LetterCounts:
        """Count the letters that a filter means."""
        by_state, by_class = dict.fromkeys(STATES, 0), Counter[str]()
        by_topic, waiting = Counter[str](), Counter[str]()
        with self._at_once():
            counted = self._counted(wanted, confirmed)
            gone = {STATES[number]: count for number, count in ask(self.connection, "expired")}
            ((strangers,),) = ask(self.connection, "strangers")
            continued, chains = self._continued(wanted, confirmed)
        for error_class, topic, *counts, _ in counted:
            by_class[error_class] += sum(counts)
            by_topic[topic] += sum(counts)
            waiting[error_class] += counts[0]
            for state, count in zip(STATES, counts, strict=True):
                by_state[state] += count
        return LetterCounts(
            by_state=by_state,
            by_class=by_class,
            by_topic=by_topic,
            waiting_by_class=+waiting,
            chains=sum(by_state.values()) - continued + chains,
            unreadable=strangers,
            expired=sum(gone.values()),
            expired_waiting=gone.get(State.WAITING, 0),
            oldest_waiting=min((hour for *_, hour in counted if hour is not None), default=None),
        )

    def groups(
        self,
        wanted: LetterFilter = EVERYTHING,
        *,
        states: Collection[State] = (),
        confirmed: Collection[int] = (),
    ) -> list[GroupSummary]:
        """The groups that letters of which are meant, those with most waiting letters first.

        Where a filter looks at letters, only these are counted. `states`: only groups that have letters in one of them.
        """
        if is_of_groups(wanted):
            where, name = groups_where(wanted, states), "groups"
        else:
            where, name = self._where(wanted, states=states, confirmed=confirmed), "groups_of_letters"
        return [group_in(row) for row in self._rows(name, where)]

    def waiting_before(self, wanted: LetterFilter, instant: int, *, confirmed: Collection[int] = ()) -> int:
        """How many letters wait that were written before an instant; by the hour where groups alone are asked for."""
        if is_of_groups(wanted):
            where = groups_where(wanted)
            ((count,),) = self._rows("waiting_of_groups_before", where, instant=instant)
        else:
            where = self._where(wanted, confirmed=confirmed)
            ((count,),) = self._rows("waiting_before", where, instant=instant)
        return count or 0

    def group(self, group_id: str) -> GroupSummary | None:
        """One group; None if no letter is left of it."""
        return next(iter(self.groups(LetterFilter(groups=frozenset({group_id})))), None)

    def trend(self, group_id: str) -> Trend:
        """Letters of a group by the hour in which they were written."""
        return Trend(dict(ask(self.connection, "hours", group_id)))

    def trends(self, since: int) -> dict[str, Trend]:
        """The trends of all groups from an instant on, by group id."""
        ids = dict(self.connection.execute("SELECT no, id FROM groups").fetchall())
        trends = {group_id: Trend() for group_id in ids.values()}
        for number, hour, count in ask(self.connection, "hours_of_all", since):
            if number in ids:
                trends[ids[number]].hours[hour] = count
        return trends

    def letters(
        self,
        wanted: LetterFilter = EVERYTHING,
        *,
        states: Collection[State] = (),
        limit: int = 50,
        before: Cursor | None = None,
        confirmed: Collection[int] = (),
    ) -> list[IndexedLetter]:
        """The newest letters that are meant, by the refused records' times; `before` continues behind a letter.

        Args:
            states: only letters in one of these; none are all.
            confirmed: letters that have the wanted text beyond what the index holds, as `text_search` found them.
        """
        where = self._where(wanted, states=states, before=before, confirmed=confirmed)
        return [letter_in(row, self._origins) for row in self._rows("letters", where, limit=limit)]

    def letter(self, letter_id: str) -> IndexedLetter | None:
        """The letter of an id, the newest if it stands twice in the topic; None if it is not there."""
        return next(iter(self.letters(LetterFilter(ids=frozenset({letter_id})), limit=1)), None)

    def chain(self, root: str) -> list[IndexedLetter]:
        """All letters of a chain that the topic still holds, the first failure first."""
        number = self._origins.known(root)
        where = Where(["l.root = ? OR l.origin = ?"], [number, number])
        letters = [letter_in(row, self._origins) for row in self._rows("letters", where, limit=-1)]
        return sorted(letters, key=lambda one: (one.attempts, one.timestamp, one.place))

    def acts(self, letter_ids: Iterable[str] = (), *, root: str | None = None) -> list[IndexedAct]:
        """What was done about some letters, or about all of a chain, in the order of the audit log."""
        numbers = [number for one in letter_ids if (number := self._origins.known(one)) is not None]
        where = Where([f"a.origin IN ({', '.join('?' * len(numbers))})"], [*numbers])
        if root is not None:
            number = self._origins.known(root)
            where = Where(["a.root = ? OR a.origin = ?"], [number, number])
        return [act_in(row, self._origins) for row in self._rows("acts", where)]

    def newest_acts(self, limit: int) -> list[IndexedAct]:
        """At most so many entries of the audit log about letters, the newest first."""
        where = Where(["a.place > (SELECT max(place) - ? FROM acts)"], [limit])
        return [act_in(row, self._origins) for row in reversed(self._rows("acts", where))]

    def places(
        self, wanted: LetterFilter, *, states: Collection[State] = (), confirmed: Collection[int] = ()
    ) -> list[Place]:
        """Where all letters that are meant lie, in their order there; `states` and `confirmed` as for `letters`."""
        where = self._where(wanted, states=states, confirmed=confirmed)
        return [split(place) for (place,) in self._rows("places", where)]

    def unsure(self, wanted: LetterFilter, states: Collection[State] = ()) -> list[Place]:
        """Letters that may have the wanted text in the part of their value that the index does not hold."""
        if wanted.text is None:
            return []
        where = self._where(wanted, states=states, unsure=True)
        return [split(place) for (place,) in self._rows("unsure_places", where, kept=VALUE_KEPT)]

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Several questions about one and the same moment."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def _counted(self, wanted: LetterFilter, confirmed: Collection[int]) -> list[tuple]:
        """Class, topic, letters by state, the hour of the oldest that waits."""
        if is_of_groups(wanted):
            return self._rows("count_groups", groups_where(wanted))
        return self._rows("count_letters", self._where(wanted, confirmed=confirmed))

    def _continued(self, wanted: LetterFilter, confirmed: Collection[int]) -> tuple[int, int]:
        """Letters that continue a chain, and chains of which only such letters are meant."""
        where = self._where(wanted, confirmed=confirmed)
        ((letters,),), twice = (
            self._rows("continued_letters", where),
            Where(where.parts, [*where.values, *where.values]),
        )
        if not letters:
            return 0, 0
        ((chains,),) = self.connection.execute(statement("continued_chains", where=str(where)), twice.values).fetchall()
        return letters, chains

    def _where(
        self,
        wanted: LetterFilter,
        *,
        states: Collection[State] = (),
        before: Cursor | None = None,
        confirmed: Collection[int] = (),
        unsure: bool = False,
    ) -> Where:
        origins = [number for one in wanted.ids if (number := self._origins.known(one)) is not None]
        return letters_where(wanted, origins, states=states, before=before, confirmed=confirmed, unsure=unsure)

    def _rows(self, name: str, where: Where, **parts: int) -> list[tuple]:
        return self.connection.execute(statement(name, where=str(where), **parts), where.values).fetchall()


def place_numbers(places: Iterable[Place]) -> set[int]:
    """Places as `confirmed` takes them."""
    return {place_of(*place) for place in places}
