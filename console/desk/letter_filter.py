"""Which dead letters are meant. Pure."""

from dataclasses import dataclass

from schemas.errors import ErrorClass


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; an empty part means all. Times are those of the refused records, UTC milliseconds."""

    ids: frozenset[str] = frozenset()
    classes: frozenset[ErrorClass] = frozenset()
    topic: str | None = None
    since: int | None = None  # inclusive
    until: int | None = None  # exclusive
    site: str | None = None
    sku: str | None = None
    text: str | None = None
    groups: frozenset[str] = frozenset()
