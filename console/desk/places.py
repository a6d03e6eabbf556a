"""Where a letter lies in the dead-letter topic, as the index has it: one number, which says the order, too. Pure."""

from typing import NamedTuple

OFFSET_BITS = 40
OFFSETS = 1 << OFFSET_BITS
PARTITIONS = 1 << 22


class Place(NamedTuple):
    """Where a letter lies in the dead-letter topic."""

    partition: int
    offset: int


def place_of(partition: int, offset: int) -> int:
    """A place as one number."""
    return partition << OFFSET_BITS | offset


def split(place: int) -> Place:
    """Inverse of `place_of`."""
    return Place(place >> OFFSET_BITS, place & (OFFSETS - 1))
