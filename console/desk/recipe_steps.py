"""The steps of a recipe: what each does to a document. Pure.

A step changes the document that it is given, and raises `StepFailed` where it does not apply: the whole record is then
not repaired. What no step names stays as it was, to the last digit.
"""

import codecs
import copy
import re
from decimal import Decimal
from typing import Any, Literal

import msgspec

from console.desk import json_pointer, local_times
from console.desk.json_patch import PatchFailed, apply_patch, parse_patch
from console.desk.json_pointer import Pointer
from console.desk.json_values import require_json, shown
from console.desk.local_times import Fold, NoInstant

WRITTEN_OUT = 100  # powers of ten up to which a number is written out as a text


class StepFailed(Exception):
    """A step does not apply. `reason` is the same for all records of a kind; `found` is what this one has there."""

    def __init__(self, reason: str, found: str = "") -> None:
        super().__init__(reason)
        self.reason, self.found = reason, found


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", omit_defaults=True):
    """One step; `op` names its kind. `apply` may raise `StepFailed`, or `NotThere` where a pointer leads nowhere."""

    def apply(self, document: Any) -> Any:
        """The document as the step leaves it."""
        raise NotImplementedError


class FieldStep(Step, frozen=True):
    """A step at one place."""

    path: str

    def __post_init__(self) -> None:
        if not json_pointer.parse(self.path).tokens:
            raise ValueError("path: a step is about a field, such as /event_time, not about the whole document")

    @property
    def at(self) -> Pointer:
        """Where."""
        return json_pointer.parse(self.path)


class Set(FieldStep, frozen=True, tag="set"):
    """Give a field this value, whether it was there or not; `null = true` stands for null, which TOML cannot write."""

    value: Any = None
    null: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.value is None) is not self.null:
            raise ValueError("value: say what to set: `value = …`, or `null = true`")
        require_json(self.value)

    def apply(self, document: Any) -> Any:
        put = json_pointer.write if json_pointer.holds(document, self.at) else json_pointer.add
        return put(document, self.at, copy.deepcopy(self.value))


class Rename(FieldStep, frozen=True, tag="rename"):
    """Give a field another name within its object."""

    to: str

    def apply(self, document: Any) -> Any:
        new = self.at.sibling(self.to)
        if json_pointer.holds(document, new):
            raise StepFailed(f"there is a {new} already")
        if not isinstance(json_pointer.read(document, self.at.parent), dict):
            raise StepFailed(f"{self.at.parent} is no object")
        return json_pointer.add(document, new, json_pointer.take_out(document, self.at))


class Remove(FieldStep, frozen=True, tag="remove"):
    """Take a field out."""

    def apply(self, document: Any) -> Any:
        json_pointer.take_out(document, self.at)
        return document


class Map(FieldStep, frozen=True, tag="map"):
    """Replace a text or number by what `values` has for it, else by `default`; without one it must be there."""

    values: dict[str, Any]
    default: Any = None
    ignore_case: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise ValueError("values: a map without values maps nothing")
        if self.ignore_case and len(self._table()) < len(self.values):
            raise ValueError("values: two of them differ in case only, and ignore_case is set")
        require_json([*self.values.values(), self.default])

    def _table(self) -> dict[str, Any]:
        return {self._key(text): value for text, value in self.values.items()}

    def _key(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text

    def apply(self, document: Any) -> Any:
        found = json_pointer.read(document, self.at)
        key = self._key(_text_of(found, self.path))
        mapped = self._table().get(key, self.default)
        if mapped is None:
            raise StepFailed(f"the map has no value for what is at {self.path}", shown(found))
        return json_pointer.write(document, self.at, copy.deepcopy(mapped))


class Time(FieldStep, frozen=True, tag="time"):
    """Read a time of a `strptime` format in a named zone; what comes out is RFC 3339 with its offset."""

    format: str
    zone: str | None = None
    fold: Fold | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if local_times.brings_its_offset(self.format) is (self.zone is not None):
            needed = "needs none: its times have an offset" if self.zone else "must be named, such as America/Chicago"
            raise ValueError(f"zone: with the format {self.format!r} it {needed}")
        if self.zone is not None:
            local_times.zone_called(self.zone)

    def apply(self, document: Any) -> Any:
        found = json_pointer.read(document, self.at)
        zone = local_times.zone_called(self.zone) if self.zone else None
        try:
            text = local_times.read_time(found, self.format, zone, self.fold)
        except NoInstant as error:
            raise StepFailed(f"{self.path} cannot be read as a time: {error}", shown(found)) from None
        return json_pointer.write(document, self.at, text)


class Number(FieldStep, frozen=True, tag="number"):
    """Read a text as a number. `decimal_comma`: a comma begins the fraction, and points may part the thousands."""

    decimal_comma: bool = False

    def apply(self, document: Any) -> Any:
        found = json_pointer.read(document, self.at)
        text = found.strip() if isinstance(found, str) else ""
        if not (_COMMA_NUMBER if self.decimal_comma else _POINT_NUMBER).fullmatch(text):
            expected = "a text that is a number" + " with a decimal comma" * self.decimal_comma
            raise StepFailed(f"{self.path} is not {expected}", shown(found))
        if self.decimal_comma:
            text = text.replace(".", "").replace(",", ".")
        return json_pointer.write(document, self.at, Decimal(text) if "." in text else int(text))


_POINT_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3}){1,9}|\d{1,30})(,\d{1,30})?", re.ASCII)


class Text(FieldStep, frozen=True, tag="text"):
    """Make a text of a number, as it is written; `trim` takes blanks from the ends, `upper` makes capitals."""

    trim: bool = False
    upper: bool = False

    def apply(self, document: Any) -> Any:
        text = _text_of(json_pointer.read(document, self.at), self.path)
        text = text.strip() if self.trim else text
        return json_pointer.write(document, self.at, text.upper() if self.upper else text)


class Patch(Step, frozen=True, tag="patch"):
    """A JSON Patch (RFC 6902), as its JSON text."""

    operations: str

    def __post_init__(self) -> None:
        try:
            operations = parse_patch(self.operations)
        except ValueError as error:
            raise ValueError(f"operations: {error}") from None
        if not operations:
            raise ValueError("operations: the patch is empty")

    def apply(self, document: Any) -> Any:
        try:
            return apply_patch(document, parse_patch(self.operations))
        except PatchFailed as error:
            raise StepFailed(str(error)) from None


class Encoding(Step, frozen=True, tag="encoding"):
    """Read the bytes of the record in a named encoding, before anything else; UTF-8 comes out."""

    source: str = msgspec.field(name="from")
    errors: Literal["strict", "replace"] = "strict"

    def __post_init__(self) -> None:
        try:
            name = codecs.lookup(self.source).name
            "x".encode(self.source)
        except (LookupError, ValueError):
            raise ValueError(f"from: {self.source!r} is no text encoding, such as windows-1252") from None
        if name in ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"):
            raise ValueError(f"from: {self.source!r} is no encoding of a record")

    def transcode(self, value: bytes) -> bytes:
        """The bytes as UTF-8.

        Raises:
            StepFailed: they are not of this encoding.
        """
        try:
            return value.decode(self.source, self.errors).encode()
        except UnicodeError as error:
            raise StepFailed(f"the record is not {self.source}", str(error)) from None

    def apply(self, document: Any) -> Any:
        return document


AnyStep = Set | Rename | Remove | Map | Time | Number | Text | Patch | Encoding


def _text_of(value: Any, path: str) -> str:
    """A text, or a number as it is written."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise StepFailed(f"{path} is neither text nor number", shown(value))
    if isinstance(value, Decimal):
        if abs(value.adjusted()) > WRITTEN_OUT:  # 1e999999999 would be a text of a gigabyte
            raise StepFailed(f"{path} is a number of too many digits to write out", shown(value))
        return format(value, "f")
    return str(value)
