"""What commands print: lines, tables, JSON. Boxes and colours in a terminal, elsewhere plain text, never cut.

Standard output carries the answer; progress and remarks go to standard error, so that an answer can be piped.
"""

import sys
from collections.abc import Sequence
from decimal import Decimal
from traceback import format_exc
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | int | float | Decimal | None

_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(soft_wrap=True, highlight=False, markup=False, stderr=True)


def say(text: str = "", style: str | None = None) -> None:
    """A line of the answer."""
    _out.print(text, style=style)


def remark(text: str, style: str | None = None) -> None:
    """A line about the answer, on standard error."""
    _err.print(text, style=style)


def say_json(value: Any) -> None:
    """A value as indented JSON."""
    _out.file.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def say_bytes(data: bytes) -> None:
    """Bytes as they are, without a newline behind them."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
    """A table; numbers are set right, None is empty."""
    if not _out.is_terminal:
        for line in plain_table(columns, rows, title):
            say(line)
        return
    table = Table(title=Text(title) if title else None, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if _is_numeric(rows, index) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell_text(cell)) for cell in row))
    _out.print(table, soft_wrap=False)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> list[str]:
    """The lines of a table for pipes and log files: columns in line, two blanks between them."""
    cells = [list(columns), *([cell_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    right = [_is_numeric(rows, index) for index in range(len(columns))]
    lines = [title] if title else []
    for row in cells:
        parts = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return lines


def cell_text(cell: Cell) -> str:
    """A value as a table shows it: whole numbers in groups of three digits."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int | Decimal) else str(cell)


def _is_numeric(rows: Sequence[Sequence[Cell]], index: int) -> bool:
    values = [row[index] for row in rows if row[index] is not None]
    return bool(values) and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in values
    )


def is_terminal() -> bool:
    """Whether standard error, where progress is shown, is a terminal."""
    return _err.is_terminal


def answers_terminal() -> bool:
    """Whether standard output, where the answer goes, is a terminal."""
    return _out.is_terminal


def answer_console() -> Console:
    """Where answers go that renew themselves."""
    return _out


def progress_console() -> Console:
    """Where progress bars are drawn."""
    return _err


def traceback() -> None:
    """The exception being handled, on standard error."""
    _err.file.write(format_exc())
