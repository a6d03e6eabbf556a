"""Writing the index: letters, what was done about them, and letters that the topic no longer holds.

Each portion is one transaction together with the position behind it. Whoever finds the position further on leaves what
is below it; so a crash, or two processes at once, index nothing twice and nothing never.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import msgspec
from aiokafka.structs import ConsumerRecord

from console.desk.acts import LETTER, RECIPE, RECIPE_SHA256, ROOT, RUN, SENT_TO
from console.desk.grouping import Group
from console.desk.index_counters import count, expire
from console.desk.index_file import add_indexes, ask, make_anew, writing
from console.desk.indexed import HOUR_MS, STATES, State
from console.desk.letter_rows import COLUMNS, LetterRows, Stretch
from console.desk.origins import Origins
from console.desk.places import OFFSET_BITS, place_of
from console.desk.statements import statement
from console.desk.texts import plain, plain_or_none
from console.topic_records import decoded
from runtime.crash_points import crash_point
from schemas.records import AuditEntry

#: What an act makes of a letter.
STATE_AFTER = {"replay": State.REPLAYED, "discard": State.DISCARDED, "park": State.PARKED}
_DETAILS = (RUN, RECIPE, RECIPE_SHA256, SENT_TO)  # of an act, in the audit log's `what`
_GROUPS_REMEMBERED = 16_384
_ROWS_A_STATEMENT = 50
_MARKS = f"({', '.join('?' * len(COLUMNS))})"
_BUILT = "built"  # in the identity: which building of the index it is


class IndexMadeAnew(Exception):
    """Another process has begun the index again; what this one was about to add would lack its beginning."""


@dataclass(frozen=True, slots=True)
class Source:
    """The topics that the index is made from, and how. `dead_letters` and `audit_log` are their names.

    `identity` has all that the content follows from, such as the ids of the topics; an index of another one is begun
    again.
    """

    dead_letters: str
    audit_log: str
    producer_header: str
    identity: Mapping[str, str]


class IndexWriter:
    """Adds to the index. Every method blocks, and is one transaction."""

    def __init__(self, connection: sqlite3.Connection, source: Source) -> None:
        self._connection, self._source = connection, source
        self._origins = Origins(connection)
        self._groups = dict[Group, int]()
        self._built = ""
        self._version: tuple[int] | None = None  # of the file, as others have written it

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()

    def begin(self, ends: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, int]]:
        """The positions to read on from, per topic and partition.

        The index is begun again where it is another pipeline's, or further on than its topics.
        """
        self._forget()
        with writing(self._connection):
            known = dict(ask(self._connection, "identity"))
            positions = {topic: dict(ask(self._connection, "positions", topic)) for topic in ends}
            behind = any(of.get(p, 0) < n for topic, of in ends.items() for p, n in positions[topic].items())
            if behind or {name: known.get(name) for name in self._source.identity} != dict(self._source.identity):
                make_anew(self._connection)
                known = {**self._source.identity, _BUILT: uuid4().hex}
                self._connection.executemany(statement("set_identity"), known.items())
                positions = {topic: {} for topic in ends}
            elif positions[self._source.dead_letters]:  # a first filling that did not end left them out
                add_indexes(self._connection)
            self._built = known[_BUILT]
            return positions

    def add_letters(self, stretch: Stretch) -> None:
        """Add what a stretch of the dead-letter topic holds.

        Raises:
            IndexMadeAnew: read again from `begin`.
        """
        with self._portion():
            position = self._position(self._source.dead_letters, stretch.partition)
            if stretch.end > position:
                self._add_letters(stretch, position)
                self._reach(self._source.dead_letters, stretch.partition, stretch.end)
                crash_point("index.before_commit")

    def add_acts(self, records: Sequence[ConsumerRecord]) -> None:
        """Add entries of the audit log, and what they make of letters.

        Raises:
            IndexMadeAnew: read again from `begin`.
            RecordUnreadable: there is something else in the audit log, so what was done is not known.
        """
        partition = records[0].partition
        with self._portion():
            position = self._position(self._source.audit_log, partition)
            new = [record for record in records if record.offset >= position]
            if new:
                self._add_acts([(place_of(partition, record.offset), decoded(record, AuditEntry)) for record in new])
                self._reach(self._source.audit_log, partition, new[-1].offset + 1)

    def finish(self, begins: Mapping[int, int], ends: Mapping[str, Mapping[int, int]]) -> None:
        """Everything below these ends was added; letters below `begins` are no longer in the topic.

        Raises:
            IndexMadeAnew: read again from `begin`.
        """
        with self._portion():
            for topic, of_partitions in ends.items():
                for partition, end in of_partitions.items():
                    self._reach(topic, partition, end)
            for partition, begin in begins.items():
                expire(self._connection, place_of(partition, 0), place_of(partition, begin))
            add_indexes(self._connection)
            self._groups.clear()  # those that have no letters left are gone

    # -- within a transaction ----------------------------------------------------------------------------------------

    def _add_letters(self, stretch: Stretch, position: int) -> None:
        """Add what is not below a position, with the numbers that the index has given out."""
        begin = place_of(stretch.partition, position)
        letters = stretch.letters.from_place(begin)
        groups = [self._group_no(group) for group in stretch.groups]
        moved = [self._origins.of(*source, 0) - place_of(n, 0) for n, source in enumerate(stretch.sources)]
        letters["group_no"] = [groups[number] for number in letters["group_no"]]
        letters["origin"] = [origin + moved[origin >> OFFSET_BITS] for origin in letters["origin"]]
        letters["root"] = [None if root is None else self._origins.of_id(root) for root in letters["root"]]
        letters["state"] = self._states(letters["origin"])
        self._insert(letters)
        strangers = [(place,) for place in stretch.strangers if place >= begin]
        self._connection.executemany(statement("add_strangers"), strangers)
        hours = [posted_at // HOUR_MS * HOUR_MS for posted_at in letters["posted_at"]]
        count(self._connection, Counter(zip(letters["group_no"], letters["state"], hours, strict=True)))

    def _insert(self, letters: LetterRows) -> None:
        """Many rows a statement: to run one costs as much as the rows of it."""
        for rows, values in letters.portions(_ROWS_A_STATEMENT):
            self._connection.execute(_add_letters(rows), values)

    def _states(self, origins: Sequence[int]) -> list[int]:
        """The states that acts have given new letters already."""
        if ask(self._connection, "has_acts") == [(0,)]:
            return [0] * len(origins)
        actions = {origin: action for origin, action, _ in ask(self._connection, "last_actions", _json(origins))}
        return [STATES.index(STATE_AFTER[actions[origin]]) if origin in actions else 0 for origin in origins]

    def _add_acts(self, entries: Sequence[tuple[int, AuditEntry]]) -> None:
        rows = [self._act(place, entry) for place, entry in entries if _is_of_letter(entry)]
        self._connection.executemany(statement("add_acts"), rows)
        after = {row[1]: STATES.index(STATE_AFTER[row[6]]) for row in rows}
        moved, counts = list[tuple[int, int]](), Counter[tuple[int, int, int]]()
        for place, group, state, posted_at, origin in ask(self._connection, "letters_of_origins", _json(after)):
            hour = posted_at // HOUR_MS * HOUR_MS
            moved.append((after[origin], place))
            counts[group, state, hour] -= 1
            counts[group, after[origin], hour] += 1
        self._connection.executemany(statement("set_state"), moved)
        count(self._connection, counts)

    def _act(self, place: int, entry: AuditEntry) -> tuple[Any, ...]:
        letter, root = entry.what[LETTER], entry.what.get(ROOT)
        run, recipe, recipe_sha256, sent_to = (entry.what.get(name) for name in _DETAILS)
        return (
            place,
            self._origins.of_id(letter),
            None if root is None or root == letter else self._origins.of_id(root),
            entry.at,
            entry.seq,
            plain(entry.who),
            entry.action,
            plain(entry.why),
            *map(plain_or_none, (run, recipe, recipe_sha256, sent_to)),
            None if sent_to is None else self._origins.of_id(sent_to),
        )

    def _group_no(self, group: Group) -> int:
        number = self._groups.get(group)
        if number is None:
            ask(self._connection, "add_group", group.id, *group)
            ((number,),) = ask(self._connection, "group_no", group.id)
            if len(self._groups) >= _GROUPS_REMEMBERED:
                self._groups.clear()
            self._groups[group] = number
        return number

    @contextmanager
    def _portion(self) -> Iterator[None]:
        try:
            with writing(self._connection):
                version = self._connection.execute("PRAGMA data_version").fetchone()
                if version != self._version:  # somebody else has written: what is remembered may hold no more
                    self._forget()
                    self._version = version
                    if dict(ask(self._connection, "identity")).get(_BUILT) != self._built:
                        raise IndexMadeAnew
                yield
        except BaseException:
            self._forget()
            raise

    def _position(self, topic: str, partition: int) -> int:
        found = ask(self._connection, "position", topic, partition)
        return found[0][0] if found else 0

    def _reach(self, topic: str, partition: int, position: int) -> None:
        ask(self._connection, "set_position", topic, partition, position)

    def _forget(self) -> None:
        self._origins.forget()
        self._groups.clear()


@cache
def _add_letters(rows: int) -> str:
    return statement("add_letters", rows=", ".join([_MARKS] * rows))


def _is_of_letter(entry: AuditEntry) -> bool:
    return entry.action in STATE_AFTER and LETTER in entry.what


def _json(numbers: Collection[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()
