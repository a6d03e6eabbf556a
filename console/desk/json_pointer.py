"""JSON Pointers (RFC 6901): where something is within a JSON document. Pure.

Documents are what a JSON parser gives: dicts, lists, texts, numbers, booleans, None. `add`, `write` and `take_out`
change them.
"""

import re
from typing import Any, NamedTuple

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_BAD_ESCAPE = re.compile(r"~(?![01])")
END = "-"  # behind the last element of an array


class NotThere(Exception):
    """A document has nothing at a pointer; the message says what is missing."""


class Pointer(NamedTuple):
    """A parsed pointer; no tokens mean the whole document."""

    tokens: tuple[str, ...]

    def __str__(self) -> str:
        return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self.tokens)

    @property
    def parent(self) -> "Pointer":
        """Where the thing that holds it is."""
        return Pointer(self.tokens[:-1])

    def sibling(self, name: str) -> "Pointer":
        """The field of another name in the same object."""
        return Pointer((*self.tokens[:-1], name))


def parse(text: str) -> Pointer:
    """
    Raises:
        ValueError: it is no JSON Pointer; says why.
    """
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON Pointer: it begins with a slash, such as /event_time")
    if _BAD_ESCAPE.search(text):
        raise ValueError(f"{text!r} is no JSON Pointer: ~ is written ~0, and / within a name ~1")
    return Pointer(tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]))


def read(document: Any, pointer: Pointer) -> Any:
    """What is there.

    Raises:
        NotThere: nothing is.
    """
    found = document
    for depth, token in enumerate(pointer.tokens):
        found = _child(found, token, Pointer(pointer.tokens[: depth + 1]))
    return found


def holds(document: Any, pointer: Pointer) -> bool:
    """Whether there is something, be it null."""
    try:
        read(document, pointer)
    except NotThere:
        return False
    return True


def add(document: Any, pointer: Pointer, value: Any) -> Any:
    """Put a value there, as RFC 6902 adds: into an array before what has that index; returns the document.

    Raises:
        NotThere: nothing is there that could hold it.
    """
    if not pointer.tokens:
        return value
    holder, token = read(document, pointer.parent), pointer.tokens[-1]
    if isinstance(holder, list):
        holder.insert(len(holder) if token == END else _index(holder, token, pointer, beyond=1), value)
    elif isinstance(holder, dict):
        holder[token] = value
    else:
        raise NotThere(f"{pointer.parent or 'the document'} is neither object nor array")
    return document


def write(document: Any, pointer: Pointer, value: Any) -> Any:
    """Put a value in the place of what is there; returns the document.

    Raises:
        NotThere: nothing is there.
    """
    read(document, pointer)
    if not pointer.tokens:
        return value
    holder, token = read(document, pointer.parent), pointer.tokens[-1]
    holder[int(token) if isinstance(holder, list) else token] = value
    return document


def take_out(document: Any, pointer: Pointer) -> Any:
    """Remove what is there, and return it.

    Raises:
        NotThere: nothing is there, or it is the whole document.
    """
    found = read(document, pointer)
    if not pointer.tokens:
        raise NotThere("the whole document cannot be removed")
    holder, token = read(document, pointer.parent), pointer.tokens[-1]
    del holder[int(token) if isinstance(holder, list) else token]
    return found


def _child(holder: Any, token: str, pointer: Pointer) -> Any:
    if isinstance(holder, dict):
        if token not in holder:
            raise NotThere(f"there is no {pointer}")
        return holder[token]
    if isinstance(holder, list):
        return holder[_index(holder, token, pointer)]
    raise NotThere(f"there is no {pointer}")


def _index(holder: list[Any], token: str, pointer: Pointer, *, beyond: int = 0) -> int:
    if not _INDEX.fullmatch(token) or int(token) >= len(holder) + beyond:
        raise NotThere(f"there is no {pointer}: the array has {len(holder)} elements")
    return int(token)
