"""Tables as CSV files that a spreadsheet can open without running anything of theirs."""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

_RUNS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows below a head, as RFC 4180 writes them; None is empty.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, as OWASP advises; numbers do not.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([inert(title) for title in titles])
    writer.writerows([inert(value) for value in row] for row in rows)
    return out.getvalue()


def inert(value: Any) -> Any:
    """A value as a cell; see `csv_text`."""
    if value is None or isinstance(value, int | float | Decimal):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_RUNS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    """Whether a text is a plain decimal number, such as -3.5: no underscores, no `inf`."""
    digits = text.removeprefix("-").removeprefix("+").replace(".", "", 1)
    return digits.isascii() and digits.isdigit()
