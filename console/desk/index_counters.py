"""Counters of the index: letters of each group by state and hour, so that nobody has to count a million of them."""

import sqlite3
from collections import Counter

from console.desk.index_file import ask
from console.desk.indexed import STATES, State
from console.desk.statements import statement


def count(connection: sqlite3.Connection, changes: Counter[tuple[int, int, int]]) -> None:
    """Add what has changed, by number of the group, number of the state, and hour of writing in UTC milliseconds."""
    groups, hours = dict[int, list[int]](), dict[tuple[int, int], list[int]]()
    for (group, state, hour), letters in changes.items():
        groups.setdefault(group, [0] * len(STATES))[state] += letters
        of_hour = hours.setdefault((group, hour), [0, 0])
        of_hour[0] += letters
        of_hour[1] += letters if STATES[state] is State.WAITING else 0
    connection.executemany(statement("count_states"), [(*counts, no) for no, counts in groups.items()])
    connection.executemany(statement("count_hour"), [(*key, *counts) for key, counts in hours.items()])


def expire(connection: sqlite3.Connection, first: int, end: int) -> None:
    """Letters at places `[first, end)` are gone: they are counted no more, but as expired."""
    gone = ask(connection, "gone", first, end)
    if gone:
        ask(connection, "remember_failures", first, end)
    for name in ("forget_letters", "forget_strangers"):
        ask(connection, name, first, end)
    if gone:
        count(connection, Counter({(group, state, hour): -letters for group, state, hour, letters in gone}))
        expired = Counter[int]()
        for _, state, _, letters in gone:
            expired[state] += letters
        connection.executemany(statement("count_expired"), expired.items())
        ask(connection, "forget_empty_hours")
        ask(connection, "forget_empty_groups")
