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

from console.desk.grouping import Group
from console.desk.index_file import ask, open_file
from console.desk.index_filter import Where, groups_where, is_of_groups, letters_where
from console.desk.indexed import (
    STATES,
    VALUE_KEPT,
    Act,
    Cursor,
    GroupSummary,
    IndexedLetter,
    LetterCounts,
    Place,
    State,
    Trend,
)
from console.desk.letters import LetterFilter
from console.desk.origins import Origins, place_of, split
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
        with self._at_once():
            counted = self._counted(wanted, confirmed)
            gone = {STATES[number]: count for number, count in ask(self.connection, "expired")}
            ((strangers,),) = ask(self.connection, "strangers")
            by_state, by_class = dict.fromkeys(STATES, 0), Counter[str]()
            by_topic, waiting = Counter[str](), Counter[str]()
            for error_class, topic, state, count in counted:
                by_state[state] += count
                by_class[error_class] += count
                by_topic[topic] += count
                if state is State.WAITING:
                    waiting[error_class] += count
            return LetterCounts(
                by_state=by_state,
                by_class=dict(by_class),
                by_topic=dict(by_topic),
                waiting_by_class=dict(waiting),
                chains=self._chains(wanted, confirmed),
                unreadable=strangers,
                expired=sum(gone.values()),
                expired_waiting=gone.get(State.WAITING, 0),
                oldest_waiting=self._oldest_waiting(wanted, confirmed),
            )

    def groups(self, wanted: LetterFilter = EVERYTHING, *, confirmed: Collection[int] = ()) -> list[GroupSummary]:
        """The groups that letters of which are meant, those with most waiting letters first.

        Where a filter looks at letters, only these are counted.
        """
        if is_of_groups(wanted):
            where, name = groups_where(wanted), "groups"
        else:
            where, name = self._where(wanted, confirmed=confirmed), "groups_of_letters"
        return [_group(row) for row in self._rows(name, where)]

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
        return [self._letter(row) for row in self._rows("letters", where, limit=limit)]

    def letter(self, letter_id: str) -> IndexedLetter | None:
        """The letter of an id, the newest if it stands twice in the topic; None if it is not there."""
        return next(iter(self.letters(LetterFilter(ids=frozenset({letter_id})), limit=1)), None)

    def chain(self, root: str) -> list[IndexedLetter]:
        """All letters of a chain that the topic still holds, the first failure first."""
        number = self._origins.known(root)
        where = Where(["l.root = ? OR l.origin = ?"], [number, number])
        rows = self._rows("letters", where, limit=-1)
        return sorted(map(self._letter, rows), key=lambda one: (one.attempts, one.timestamp, one.place))

    def acts(self, letter_ids: Iterable[str] = (), *, root: str | None = None) -> list[Act]:
        """What was done about some letters, or about all of a chain, in the order of the audit log."""
        numbers = [number for one in letter_ids if (number := self._origins.known(one)) is not None]
        where = Where([f"a.origin IN ({', '.join('?' * len(numbers))})"], [*numbers])
        if root is not None:
            number = self._origins.known(root)
            where = Where(["a.root = ? OR a.origin = ?"], [number, number])
        return [self._act(row) for row in self._rows("acts", where)]

    def newest_acts(self, limit: int) -> list[Act]:
        """At most so many entries of the audit log about letters, the newest first."""
        where = Where(["a.place > (SELECT max(place) - ? FROM acts)"], [limit])
        return [self._act(row) for row in reversed(self._rows("acts", where))]

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

    def _counted(self, wanted: LetterFilter, confirmed: Collection[int]) -> Iterator[tuple[str, str, State, int]]:
        """Class, topic, state, letters."""
        if is_of_groups(wanted):
            for error_class, topic, *counts in self._rows("count_groups", groups_where(wanted)):
                yield from ((error_class, topic, state, n) for state, n in zip(STATES, counts, strict=True) if n)
        else:
            for error_class, topic, state, count in self._rows(
                "count_letters", self._where(wanted, confirmed=confirmed)
            ):
                yield error_class, topic, STATES[state], count

    def _chains(self, wanted: LetterFilter, confirmed: Collection[int]) -> int:
        if is_of_groups(wanted) and not groups_where(wanted).parts:
            ((count,),) = ask(self.connection, "chains")
        else:
            ((count,),) = self._rows("chains_of_letters", self._where(wanted, confirmed=confirmed))
        return count

    def _oldest_waiting(self, wanted: LetterFilter, confirmed: Collection[int]) -> int | None:
        if is_of_groups(wanted):
            ((oldest,),) = self._rows("oldest_waiting", groups_where(wanted))
        else:
            ((oldest,),) = self._rows("oldest_waiting_of_letters", self._where(wanted, confirmed=confirmed))
        return oldest

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

    def _letter(self, row: tuple) -> IndexedLetter:
        (place, origin, _, state, timestamp, posted_at, attempts, root, first_failed_at, size, site, sku, stage, path,
         message, group, topic, error_class, group_path, producer, value) = row  # fmt: skip
        letter_id = self._origins.text(origin)
        partition, offset = letter_id.split("/")[-2:]
        return IndexedLetter(
            id=letter_id,
            place=split(place),
            topic=topic,
            partition=int(partition),
            offset=int(offset),
            error_class=error_class,
            stage=stage,
            path=group_path if path is None else path,
            message=message,
            timestamp=timestamp,
            posted_at=posted_at,
            attempts=attempts,
            root=letter_id if root is None else self._origins.text(root),
            first_failed_at=first_failed_at,
            producer=producer,
            group=group,
            site=site,
            sku=sku,
            state=STATES[state],
            value=value,
            size=size,
            cursor=Cursor(timestamp, place),
        )

    def _act(self, row: tuple) -> Act:
        place, origin, root, at, seq, who, action, why, recipe, recipe_sha256, sent_to = row
        letter_id = self._origins.text(origin)
        again = None if sent_to is None else self._origins.known(sent_to)
        found = (
            again is not None and self.connection.execute("SELECT 1 FROM letters WHERE origin = ?", (again,)).fetchone()
        )
        return Act(
            letter=letter_id,
            root=letter_id if root is None else self._origins.text(root),
            at=at,
            who=who,
            action=action,
            why=why,
            recipe=recipe,
            recipe_sha256=recipe_sha256,
            sent_to=sent_to,
            seq=seq,
            offset=split(place).offset,
            failed_again_as=sent_to if found else None,
        )


def _group(row: tuple) -> GroupSummary:
    _, _, *parts = row[:8]
    by_state = dict(zip(STATES, row[8:12], strict=True))
    return GroupSummary(Group(*parts), by_state, *row[12:15])


def place_numbers(places: Iterable[Place]) -> set[int]:
    """Places as `confirmed` takes them."""
    return {place_of(*place) for place in places}
