"""Texts out of values that may be broken, and such as SQLite takes. Pure."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec


def field_text(value: bytes, name: str) -> str | None:
    """A field of a value that may be broken: parsed if it is an object, else the first thing that looks like it."""
    try:
        parsed = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text_of_field(None, value, name)
    return text_of_field(parsed, value, name) if isinstance(parsed, dict) else None


def text_of_field(content: Mapping[str, Any] | None, value: bytes | None, name: str) -> str | None:
    """The same of a value that was parsed already; `content` is None where it is no object."""
    if content is not None:
        found = content.get(name)
        return found if found is None or isinstance(found, str) else _field_of_other(found)
    if not value or name.encode() not in value:
        return None
    seen = _field_pattern(name).search(value)
    return (seen[1] if seen[1] is not None else seen[2]).decode("utf-8", "replace") if seen else None


def _field_of_other(found: object) -> str | None:
    try:
        return str(found)
    except ValueError:  # an integer of more digits than Python writes
        return None


@cache
def _field_pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'"%s"\s*:\s*(?:"([^"\\]*)"|([-\d.eE+]+))' % re.escape(name.encode()))


def plain(text: str) -> str:
    """A text as SQLite takes it: a lone surrogate, which no UTF-8 has, becomes `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def plain_or_none(text: str | None) -> str | None:
    """The same of a text that may be missing."""
    return None if text is None else plain(text)
