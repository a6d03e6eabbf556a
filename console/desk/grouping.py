"""Which dead letters are alike: those that somebody wrote wrong in the same way.

A group is the letters of one error class at one path of one source topic, from one producer, whose values have the same
structure and the same pattern at that path. So `"12/31/2010 08:26"` and `"01/02/2011 17:04"` of one scanner are one
group, and one recipe repairs them all.

Values come from strangers: nothing here raises, and no text is longer than its bound. What repeats from letter to
letter (names and types of fields, patterns, producers) is worked out once and remembered.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

PATTERN_SHOWN = 48
STRUCTURE_SHOWN = 400
PATH_SHOWN = 200
NAME_SHOWN = 64
NO_PRODUCER = "-"
REMEMBERED_FIELDS = 64  # of values with more the structure is worked out each time, so that memory stays bounded
REMEMBERED_BYTES = 4_096

#: The names and indexes of a path; one of the two is None.
Parts = tuple[tuple[str, int | None], ...]

_decode = msgspec.json.Decoder().decode
_PARTS = re.compile(r"\.([^.\[\]]+)|\[([0-9]{1,9})\]")
_RUNS = re.compile(r"([aA9 ?])\1+")


class Group(NamedTuple):
    """What the letters of a group have in common. `structure` is of the whole value, `pattern` of what is at `path`."""

    topic: str
    error_class: str
    path: str
    producer: str
    structure: str
    pattern: str

    @property
    def id(self) -> str:
        """12 hexadecimal digits, the same wherever the letters are read."""
        return _group_id(self)


@lru_cache(maxsize=65_536)
def _group_id(group: Group) -> str:
    return hashlib.blake2b("\x1f".join(group).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def producer_in(headers: Iterable[tuple[str, bytes]], header: str) -> str:
    """Who wrote a record, by the first header of that name that says anything."""
    return producer_of(next((data for name, data in headers if name == header and data), None))


@lru_cache(maxsize=4_096)
def producer_of(data: bytes | None) -> str:
    """Who a header's value says wrote the record."""
    return _printable(data[:64].decode("utf-8", "replace")) if data else NO_PRODUCER


def path_shown(path: str) -> str:
    """A path as groups have it, cut where it is too long."""
    return path if len(path) <= PATH_SHOWN else path[: PATH_SHOWN - 1] + "…"


def form_of(value: bytes | None, parts: Parts) -> tuple[Mapping[str, Any] | None, str, str]:
    """A value's content, its structure, and the pattern of what is at a path of it, whose parts these are.

    The content is the value's object, empty for other JSON, None where it is no JSON.
    """
    if value is None:
        return None, "no value", ""
    try:
        content = _decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, *_form_of_bytes(value)
    if not isinstance(content, dict):
        return {}, _kind(content), ""
    if len(value) <= REMEMBERED_BYTES and len(content) <= REMEMBERED_FIELDS:
        structure = _structure(tuple(content), tuple(map(type, content.values())))
    else:
        structure = _structure.__wrapped__(tuple(content), tuple(map(type, content.values())))
    return content, structure, _pattern(_at(content, parts))


def _form_of_bytes(value: bytes) -> tuple[str, str]:
    if not value:
        return "empty", ""
    if value[:1] == b"\x00":
        return f"Avro, schema {int.from_bytes(value[1:5], 'big')}" if len(value) > 5 else "binary", ""
    try:
        head = value[:PATTERN_SHOWN].decode()
    except UnicodeDecodeError as error:
        head = value[: error.start].decode()
        if error.start + 4 < min(len(value), PATTERN_SHOWN):
            return "not UTF-8", _collapsed(head)
    return ("JSON, broken" if head.lstrip()[:1] in ("{", "[") else "text"), _collapsed(head)[:16]


@lru_cache(maxsize=4_096)
def _structure(names: tuple[str, ...], types: tuple[type, ...]) -> str:
    """Names and types of the fields, sorted, whatever their order in the value."""
    fields = sorted(f"{_printable(name[:NAME_SHOWN])}: {_KINDS[kind]}" for name, kind in zip(names, types, strict=True))
    text = ", ".join(fields)
    return text if len(text) <= STRUCTURE_SHOWN else text[: STRUCTURE_SHOWN - 1] + "…"


def _kind(value: object) -> str:
    return _KINDS[type(value)]


#: Everything that msgspec makes of JSON.
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    list: "array",
    dict: "object",
}


def _at(content: Mapping[str, Any], parts: Parts) -> object:
    """What is there; None where nothing is."""
    found: Any = content
    for name, index in parts:
        if name and isinstance(found, dict):
            found = found.get(name)
        elif index is not None and isinstance(found, list) and index < len(found):
            found = found[index]
        else:
            return None
    return None if found is content else found


def parts_of(path: str) -> Parts:
    """The parts of a JSON path such as `$.event_time`."""
    return tuple((name, int(index) if index else None) for name, index in _PARTS.findall(path[:PATH_SHOWN]))


def _pattern(value: object) -> str:
    """The form of a text (runs of letters `a` or `A`, of digits `9`), or the type of anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f'"{_collapsed(value[:PATTERN_SHOWN])}"'
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, int) or value.is_integer()
        return ("-" if value < 0 else "") + ("9" if whole else "9.9")
    return _kind(value)


class _Signs(dict[int, str]):
    """The sign of each character: one beyond ASCII, or a control character, is `?` unless it is a blank."""

    def __missing__(self, code: int) -> str:
        return " " if chr(code).isspace() else "?"


_SIGNS = _Signs(
    {code: chr(code) for code in range(32, 127)}
    | dict.fromkeys(range(ord("a"), ord("z") + 1), "a")
    | dict.fromkeys(range(ord("A"), ord("Z") + 1), "A")
    | dict.fromkeys(range(ord("0"), ord("9") + 1), "9")
)


def _collapsed(text: str) -> str:
    return _without_runs(text.translate(_SIGNS))


@lru_cache(maxsize=16_384)
def _without_runs(signs: str) -> str:
    return _RUNS.sub(r"\1", signs)


def _printable(text: str) -> str:
    """On one line, and such that every database and terminal takes it."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)
