"""A value in two views of the same bytes: what it says, and what it is. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from console.desk.decoded import decode_value
from console.desk.repair import Schemas
from console.web.visible import visible

SHOWN_BYTES = 16_384  # of a value on its own page; a link leads to the rest
ROW_BYTES = 16
_DELETE = 0x7F


class HexRow(NamedTuple):
    """Sixteen bytes: where they begin, as hexadecimal digits, and as ASCII."""

    at: str
    digits: str
    ascii: str


@dataclass(frozen=True, slots=True)
class ShownValue:
    """`form` says what the value is read as, `text` what it says then; `cut` where there is more than is shown."""

    size: int | None  # None is a tombstone
    form: str
    text: str
    rows: tuple[HexRow, ...]
    cut: bool


def show_value(data: bytes | None, schemas: Schemas, size: int | None = None) -> ShownValue:
    """Both views of a value; `size` is that of the whole where `data` is only its beginning."""
    decoded = decode_value(data, schemas)
    if data is None:
        return ShownValue(None, decoded.form, "", (), cut=False)
    whole, head = len(data) if size is None else size, data[:SHOWN_BYTES]
    text = data.decode("utf-8", "backslashreplace") if decoded.text is None else decoded.text
    shown = visible(text[:SHOWN_BYTES], lines=True)
    form = decoded.form if len(data) == whole else "the beginning of it"
    return ShownValue(whole, visible(form), shown, tuple(_hex_rows(head)), cut=len(head) < whole)


def _hex_rows(data: bytes) -> Iterator[HexRow]:
    for start in range(0, len(data), ROW_BYTES):
        row = data[start : start + ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < _DELETE else "·" for byte in row)
        yield HexRow(f"{start:06x}", row.hex(" "), text)
