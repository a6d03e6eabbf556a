"""Ids of letters as numbers, which are a tenth as long and quickly compared.

`topic/partition/offset` is the number of its partition, which the index gives out, shifted by 40 bits, and the offset.
A text that is none (a root may be anything that a producer put into a header) has a number all of its own.
"""

import sqlite3

from console.desk.index_file import ask
from console.desk.places import OFFSET_BITS, OFFSETS, PARTITIONS

_NO_PARTITION = -1
_REMEMBERED = 16_384


class Origins:
    """Numbers of ids, as the index's table of partitions has them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._given = dict[tuple[str, int], int]()

    def forget(self) -> None:
        """What was given out may have been taken back: by a rollback, or because the index was made anew."""
        self._given.clear()

    def of(self, topic: str, partition: int, offset: int) -> int:
        """The number of an id, given out if there is none yet; within a transaction that writes."""
        return self._number((topic, partition)) << OFFSET_BITS | offset

    def of_id(self, text: str) -> int:
        """The same of an id as text."""
        key, offset = _parsed(text)
        return self._number(key) << OFFSET_BITS | offset

    def known(self, text: str) -> int | None:
        """The number of an id; None if the index has nothing of its partition."""
        key, offset = _parsed(text)
        found = ask(self._connection, "partition_no", *key)
        return found[0][0] << OFFSET_BITS | offset if found else None

    def text(self, origin: int) -> str:
        """The id of a number.

        Raises:
            LookupError: the index has given out no such number.
        """
        found = ask(self._connection, "partition", origin >> OFFSET_BITS)
        if not found:
            raise LookupError(origin)
        ((topic, partition),) = found
        return topic if partition == _NO_PARTITION else f"{topic}/{partition}/{origin & (OFFSETS - 1)}"

    def _number(self, key: tuple[str, int]) -> int:
        number = self._given.get(key)
        if number is None:
            ask(self._connection, "add_partition", *key)
            ((number,),) = ask(self._connection, "partition_no", *key)
            if len(self._given) >= _REMEMBERED:
                self._given.clear()
            self._given[key] = number
        return number


def _parsed(text: str) -> tuple[tuple[str, int], int]:
    """Topic and partition, and the offset, where it is written as we write it; else the text itself."""
    topic, partition, offset = [*text.rsplit("/", 2), "", ""][:3]
    if _is_number(partition, PARTITIONS) and _is_number(offset, OFFSETS):
        return (topic, int(partition)), int(offset)
    return (text.encode("utf-8", "replace").decode(), _NO_PARTITION), 0


def _is_number(text: str, limit: int) -> bool:
    return len(text) < 14 and text.isascii() and text.isdigit() and int(text) < limit and str(int(text)) == text
