"""Samples of a group, and what its letters have in common. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.desk.indexed import GroupSummary, IndexedLetter
from console.desk.repair import Schemas
from console.web.letters.value_view import ShownValue, show_value
from console.web.tables import Row
from console.web.visible import clipped, visible

SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """A letter of the group with its value in both views."""

    id: str
    timestamp: int
    message: str
    shown: ShownValue


def samples_of(letters: Sequence[IndexedLetter], schemas: Schemas) -> list[Sample]:
    """What is shown of some letters."""
    return [
        Sample(one.id, one.timestamp, clipped(visible(one.message), 400), show_value(one.value, schemas, one.size))
        for one in letters
    ]


def in_common(summary: GroupSummary, row: Row) -> list[tuple[str, str, bool]]:
    """Names and values of what all letters of a group share, and whether a value is code; what says nothing is left
    out."""
    structure = visible(summary.group.structure)
    parts = (
        ("Error class", row["error_class"], False),
        ("Field", row["path"], True),
        ("Pattern of its value", row["pattern"], True),
        ("Producer", row["producer"], False),
        ("Source", row["source"], False),
        ("Structure of the value", structure, True),
    )
    return [(name, str(value), code) for name, value, code in parts if value]
