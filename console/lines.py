"""NDJSON as bytes: lines, and the key that a line is sent under. Nothing here judges a line; bad ones are sent too."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, BinaryIO

import msgspec

NEWLINE = b"\n"


class KeyField(StrEnum):
    """What a record's key is taken from."""

    SKU = "sku"
    SITE = "site"
    NONE = "none"


def read_lines(file: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """Every line without its newline, byte for byte; None for one of more than `limit` bytes.

    Lines end at `\\n` and nowhere else (a `\\r` before it belongs to the line). An empty line is a line of no bytes.
    What follows the last newline is a line if there is anything.
    """
    while piece := file.readline(limit + 1):
        if piece.endswith(NEWLINE):
            yield piece[:-1]
        elif len(piece) <= limit:
            yield piece
        else:
            yield _rest_of_long_line(file)


def _rest_of_long_line(file: BinaryIO) -> None:
    """Pass over what is left of a line, in pieces."""
    while piece := file.readline(1 << 20):
        if piece.endswith(NEWLINE):
            return


def key_reader(field: KeyField) -> Callable[[bytes], bytes | None]:
    """A function from a line to its key: the field's text as it stands, null when it cannot be read.

    Of a string that is its content, of a number its digits as written.
    """
    if field is KeyField.NONE:
        return lambda line: None
    name = "sku" if field is KeyField.SKU else "site_id"
    as_text = _decoder(name, str | None, None)
    as_raw = _decoder(name, msgspec.Raw, msgspec.Raw())

    def key_of(line: bytes) -> bytes | None:
        try:
            text = as_text.decode(line).key
            return None if text is None else text.encode()
        except msgspec.ValidationError:  # well-formed so far, but no string
            return _number(as_raw, line)
        except (msgspec.DecodeError, UnicodeError):
            return None

    return key_of


def _decoder(name: str, kind: Any, default: Any) -> msgspec.json.Decoder[Any]:
    """Decodes the one field and passes over all others."""
    return msgspec.json.Decoder(msgspec.defstruct("Keyed", [("key", kind, default)], rename={"key": name}))


def _number(decoder: msgspec.json.Decoder[Any], line: bytes) -> bytes | None:
    try:
        raw = bytes(decoder.decode(line).key)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return raw if raw[:1] in b"-0123456789" and raw else None
