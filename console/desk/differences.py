"""What a repair changed in a record, field by field. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from console.desk.json_patch import same
from console.desk.json_pointer import Pointer
from console.desk.json_values import read_exact, write_exact

ABSENT = "(absent)"


class Change(NamedTuple):
    """One field; `before` and `after` are JSON texts, `ABSENT` where there is none. The whole record has field ``."""

    field: str
    before: str
    after: str


def changes(before: bytes | None, after: bytes) -> list[Change]:
    """The fields that differ, those that are gone first; the whole where one of the two is no JSON object."""
    old, new = _parsed(before), _parsed(after)
    if isinstance(old, dict) and isinstance(new, dict):
        return list(_changes(old, new, Pointer(())))
    return [] if before == after else [Change("", _text(before), _text(after))]


def _changes(old: dict[str, Any], new: dict[str, Any], at: Pointer) -> Iterator[Change]:
    for name, value in old.items():
        here = Pointer((*at.tokens, name))
        if name not in new:
            yield Change(str(here), _json(value), ABSENT)
        elif isinstance(value, dict) and isinstance(new[name], dict):
            yield from _changes(value, new[name], here)
        elif not same(value, new[name]):
            yield Change(str(here), _json(value), _json(new[name]))
    for name, value in new.items():
        if name not in old:
            yield Change(str(Pointer((*at.tokens, name))), ABSENT, _json(value))


def _json(value: Any) -> str:
    return write_exact(value).decode()


def _parsed(value: bytes | None) -> Any:
    try:
        return read_exact(value or b"")
    except ValueError:
        return None


def _text(value: bytes | None) -> str:
    return ABSENT if value is None else value.decode("utf-8", "backslashreplace")
