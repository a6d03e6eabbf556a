"""Which dead letters are alike: those that somebody wrote wrong in the same way.

A group is the letters of one error class at one path of one source topic, from one producer, whose values have the same
structure and the same pattern at that path. So `"12/31/2010 08:26"` and `"01/02/2011 17:04"` of one scanner are one
group, and one recipe repairs them all.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from schemas.dead_letters import DeadLetter

PATTERN_SHOWN = 48
STRUCTURE_SHOWN = 400
NO_PRODUCER = "-"

_PARTS = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_RUNS = (
    (re.compile(r"[a-z]+"), "a"),
    (re.compile(r"[A-Z]+"), "A"),
    (re.compile(r"[0-9]+"), "9"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"[^\x20-\x7e]+"), "?"),
)


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


def group_of(letter: DeadLetter, producer_header: str) -> Group:
    """The group of a letter; its producer is what the header of that name says."""
    structure, pattern = _shape(letter.value, letter.path)
    return Group(
        letter.topic, letter.error_class.value, letter.path, _producer(letter, producer_header), structure, pattern
    )


def _producer(letter: DeadLetter, header: str) -> str:
    for name, data in letter.headers:
        if name == header and data:
            return data[:64].decode("utf-8", "replace")
    return NO_PRODUCER


def _shape(value: bytes | None, path: str) -> tuple[str, str]:
    if value is None:
        return "no value", ""
    try:
        content = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _shape_of_bytes(value)
    if not isinstance(content, dict):
        return _kind(content), ""
    return _structure(content), _pattern(_at(content, path))


def _shape_of_bytes(value: bytes) -> tuple[str, str]:
    if not value:
        return "empty", ""
    if value[:1] == b"\x00":
        return f"Avro, schema {int.from_bytes(value[1:5], 'big')}" if len(value) > 5 else "binary", ""
    try:
        head = value[:PATTERN_SHOWN].decode()
    except UnicodeDecodeError as error:
        head = value[: error.start].decode() if error.start else ""
        if error.start + 4 < min(len(value), PATTERN_SHOWN):
            return "not UTF-8", _collapsed(head)
    return ("JSON, broken" if head.lstrip()[:1] in ("{", "[") else "text"), _collapsed(head)[:16]


def _structure(content: Mapping[str, Any]) -> str:
    """Names and types of the fields, sorted."""
    text = ", ".join(sorted(f"{name}: {_kind(value)}" for name, value in content.items()))
    return text if len(text) <= STRUCTURE_SHOWN else text[: STRUCTURE_SHOWN - 1] + "…"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "object")


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    list: "array",
    dict: "object",
}


def _at(content: Mapping[str, Any], path: str) -> object:
    """What is at a JSON path such as `$.event_time`; None where nothing is."""
    found: Any = content
    for name, index in _PARTS.findall(path):
        if name and isinstance(found, Mapping):
            found = found.get(name)
        elif index and isinstance(found, list) and int(index) < len(found):
            found = found[int(index)]
        else:
            return None
    return None if found is content else found


def _pattern(value: object) -> str:
    """The form of a text (runs of letters `a` or `A`, of digits `9`), or the type of anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f'"{_collapsed(value[:PATTERN_SHOWN])}"'
    if isinstance(value, bool | list | dict):
        return _kind(value)
    return ("-" if value < 0 else "") + ("9" if float(value).is_integer() else "9.9")  # type: ignore[operator, arg-type]


def _collapsed(text: str) -> str:
    for run, sign in _RUNS:
        text = run.sub(sign, text)
    return text
