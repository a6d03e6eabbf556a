"""Texts and bytes of strangers as a page may show them: nothing in them acts, and nothing in them hides. Pure.

Escaping HTML is the templates' matter. What it leaves are characters that show nothing, or turn the text around them:
they are shown by name.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

LONGEST_CELL = 160  # characters of a value in a table
SHOWN_BYTES = 16_384  # of a value on its own page; a link leads to the rest
ROW_BYTES = 16

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_CONTROL_PICTURES = 0x2400
_DELETE = 0x7F


def visible(text: str, *, lines: bool = False) -> str:
    """A text with each character that shows nothing as a sign of its own; line ends stay where `lines` are meant."""
    if text.isprintable():
        return text
    return "".join(sign if sign == "\n" and lines else _sign(sign) for sign in text)


def _sign(sign: str) -> str:
    code = ord(sign)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == _DELETE:
        return "␡"
    return f"⟨U+{code:04X}⟩" if unicodedata.category(sign) in _HIDDEN else sign


def clipped(text: str, longest: int = LONGEST_CELL) -> str:
    """The beginning of a text."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def one_line(data: bytes | None, longest: int = LONGEST_CELL) -> str:
    """The beginning of some bytes for a table: what is no UTF-8 as `\\xff`."""
    if data is None:
        return "(null)"
    return clipped(visible(data[: 4 * longest].decode("utf-8", "backslashreplace")), longest)


class HexRow(NamedTuple):
    """Sixteen bytes: where they begin, as hexadecimal digits, and as ASCII."""

    at: str
    digits: str
    ascii: str


@dataclass(frozen=True, slots=True)
class ShownBytes:
    """A value in two views of the same bytes; `cut` where there is more of it than is shown."""

    size: int | None  # None is a null
    form: str
    text: str
    rows: tuple[HexRow, ...]
    cut: bool


def show_bytes(data: bytes | None, size: int | None = None) -> ShownBytes:
    """Both views of a value; `size` is that of the whole where `data` is only its beginning."""
    if data is None:
        return ShownBytes(None, "null: a tombstone", "", (), cut=False)
    whole = len(data) if size is None else size
    head = data[:SHOWN_BYTES]
    form, text = _decoded(head, complete=len(head) == whole)
    return ShownBytes(whole, form, text, tuple(_hex_rows(head)), cut=len(head) < whole)


def _decoded(data: bytes, *, complete: bool) -> tuple[str, str]:
    """What the bytes are, and as text: JSON indented, without any change of its numbers and texts."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if complete or error.start < len(data) - 4:
            return f"not UTF-8 from byte {error.start} on", _escaped(data)
        text = data[: error.start].decode()
    if complete:
        try:
            return "JSON", visible(msgspec.json.format(data, indent=2).decode(), lines=True)
        except (msgspec.DecodeError, RecursionError) as error:
            return f"text, no JSON: {clipped(visible(str(error)))}", visible(text, lines=True)
    return "text", visible(text, lines=True)


def _escaped(data: bytes) -> str:
    return visible(data.decode("utf-8", "backslashreplace"), lines=True)


def _hex_rows(data: bytes) -> Iterator[HexRow]:
    for start in range(0, len(data), ROW_BYTES):
        row = data[start : start + ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < _DELETE else "·" for byte in row)
        yield HexRow(f"{start:06x}", row.hex(" "), text)
