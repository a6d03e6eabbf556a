"""JSON Patch (RFC 6902): a list of operations that are applied in order, all of them or none. Pure."""

import copy
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from console.desk import json_pointer
from console.desk.json_pointer import NotThere, Pointer


class PatchFailed(Exception):
    """An operation does not apply; the message says which and why."""


class _Operation(msgspec.Struct, frozen=True, tag_field="op", tag=str.lower):
    path: str

    def __post_init__(self) -> None:
        json_pointer.parse(self.path)

    @property
    def at(self) -> Pointer:
        """Where it applies."""
        return json_pointer.parse(self.path)


class _FromOperation(_Operation, frozen=True):
    source: str = msgspec.field(name="from")

    def __post_init__(self) -> None:
        json_pointer.parse(self.path)
        json_pointer.parse(self.source)

    @property
    def origin(self) -> Pointer:
        """Where the value comes from."""
        return json_pointer.parse(self.source)


class Add(_Operation, frozen=True):
    """Put a value into an object or, before what has that index, into an array."""

    value: Any

    def apply(self, document: Any) -> Any:
        return json_pointer.add(document, self.at, copy.deepcopy(self.value))


class Remove(_Operation, frozen=True):
    """Take out what is there."""

    def apply(self, document: Any) -> Any:
        json_pointer.take_out(document, self.at)
        return document


class Replace(_Operation, frozen=True):
    """Put a value in the place of what is there."""

    value: Any

    def apply(self, document: Any) -> Any:
        return json_pointer.write(document, self.at, copy.deepcopy(self.value))


class Move(_FromOperation, frozen=True):
    """Take out what is at `from`, and add it at `path`."""

    def apply(self, document: Any) -> Any:
        if self.at.tokens[: len(self.origin.tokens)] == self.origin.tokens and self.at != self.origin:
            raise NotThere(f"{self.source} cannot be moved into itself")
        json_pointer.read(document, self.origin)
        if self.at == self.origin:
            return document
        return json_pointer.add(document, self.at, json_pointer.take_out(document, self.origin))


class Copy(_FromOperation, frozen=True):
    """Add what is at `from` at `path`, too."""

    def apply(self, document: Any) -> Any:
        return json_pointer.add(document, self.at, copy.deepcopy(json_pointer.read(document, self.origin)))


class Test(_Operation, frozen=True):
    """Go on only if this is what is there."""

    __test__ = False  # pytest takes it for a test otherwise

    value: Any

    def apply(self, document: Any) -> Any:
        if not same(json_pointer.read(document, self.at), self.value):
            raise NotThere(f"{self.path or 'the document'} is not what the patch asks for")
        return document


Operation = Add | Remove | Replace | Move | Copy | Test
_DECODER = msgspec.json.Decoder(list[Operation], float_hook=Decimal)


def parse_patch(text: str) -> list[Operation]:
    """The operations of a JSON Patch document; numbers stay exact.

    Raises:
        ValueError: it is none; says which operation.
    """
    try:
        return _DECODER.decode(text)
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(f"a number or the nesting is out of any range ({type(error).__name__})") from None


def apply_patch(document: Any, operations: Sequence[Operation]) -> Any:
    """The document as the patch makes it; the one that is given is used up.

    Raises:
        PatchFailed: an operation does not apply.
    """
    for number, operation in enumerate(operations, 1):
        try:
            document = operation.apply(document)
        except NotThere as error:
            kind = type(operation).__name__.lower()
            raise PatchFailed(f"operation {number} ({kind}): {error}") from None
    return document


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, `true` is not 1, the order of fields does not count."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
