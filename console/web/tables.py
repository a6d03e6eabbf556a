"""Tables that are sorted, filtered and cut where the rows are, so that an address says what is seen. Pure.

A page may have several: each has a name, and its parameters are `NAME-sort` and so on; that of the only table has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from console.screen import cell_text

Row = Mapping[str, Any]

SHOWN = 100  # rows, before more are asked for
MOST_SHOWN = 10_000  # rows of a page; a CSV file has all
LONGEST_FILTER = 200  # characters


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the key of its values in a row. `link` is an address with fields of it, such as `/batches/{id}`."""

    key: str
    title: str
    numeric: bool = False
    link: str | None = None
    code: bool = False  # set in a fixed-width face: identifiers, hashes

    def href(self, row: Row) -> str | None:
        """Where a row's cell leads; nowhere where a field of the address is not there."""
        if self.link is None or row.get(self.key) is None:
            return None
        return self.link.format_map({name: quote(str(value), safe="", errors="replace") for name, value in row.items()})


@dataclass(frozen=True, slots=True)
class TableQuery:
    """What an address asks of a table, and all of the address' parameters."""

    name: str = ""
    sort: str | None = None
    descending: bool = False
    text: str = ""
    shown: int = SHOWN
    csv: bool = False
    params: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def read(cls, params: Mapping[str, str], name: str = "") -> "TableQuery":
        """Read the parameters of an address; what makes no sense is left out."""
        prefix = f"{name}-" if name else ""
        shown = params.get(f"{prefix}show", "")
        return cls(
            name=name,
            sort=params.get(f"{prefix}sort"),
            descending=params.get(f"{prefix}desc") == "1",
            text=params.get(f"{prefix}q", "").strip()[:LONGEST_FILTER],
            shown=min(int(shown), MOST_SHOWN) if shown.isascii() and shown.isdigit() and len(shown) < 9 else SHOWN,
            csv=params.get(f"{prefix}format") == "csv",
            params=dict(params),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is shown: `rows` are those of the page, `found` all that the filter lets through.

    Where a database filters and sorts, `found` are only the first of so many as are `matching`.
    """

    name: str
    title: str
    columns: Sequence[Column]
    query: TableQuery
    found: Sequence[Row]
    total: int
    matching: int | None = None

    @property
    def count(self) -> int:
        """How many rows the filter lets through."""
        return len(self.found) if self.matching is None else self.matching

    @property
    def rows(self) -> Sequence[Row]:
        """The rows to show."""
        return self.found[: self.query.shown]

    @property
    def element(self) -> str:
        """The id of the element that holds it."""
        return f"table-{self.name or 'main'}"

    @property
    def more(self) -> str | None:
        """The address with more rows, if there are."""
        rest = self.count > self.query.shown and self.query.shown < MOST_SHOWN
        return self.url(show=str(min(self.query.shown * 5, MOST_SHOWN))) if rest else None

    def sorted_by(self, column: Column) -> str:
        """`ascending`, `descending` or `none`, as `aria-sort` says it."""
        if self.query.sort != column.key:
            return "none"
        return "descending" if self.query.descending else "ascending"

    def sort_url(self, column: Column) -> str:
        """The address with the table sorted by a column; the other way round where it is already."""
        turned = self.sorted_by(column) == "ascending" or (column.numeric and self.query.sort != column.key)
        return self.url(sort=column.key, desc="1" if turned else None)

    def url(self, **changes: str | None) -> str:
        """The page's address with parameters of this table changed, or left out where they are None."""
        params = {**self.query.params, **{self.param(name): value for name, value in changes.items()}}
        kept = {name: value for name, value in params.items() if value is not None}
        kept = {name: value for name, value in kept.items() if name != self.param("format") or "format" in changes}
        return "?" + urlencode(kept, errors="replace")

    def param(self, name: str) -> str:
        """The name of a parameter of this table."""
        return f"{self.name}-{name}" if self.name else name

    @property
    def kept_params(self) -> list[tuple[str, str]]:
        """The parameters that a form which changes the filter has to carry along."""
        changed = {self.param(name) for name in ("q", "format", "show")}
        return [(name, value) for name, value in self.query.params.items() if name not in changed]


def arrange(rows: Sequence[Row], columns: Sequence[Column], query: TableQuery, title: str = "") -> Table:
    """The table that an address asks for. A column that it does not have is not sorted by."""
    found = [row for row in rows if _has(row, columns, query.text)] if query.text else list(rows)
    if query.sort is not None and query.sort in {column.key for column in columns}:
        key = query.sort
        filled = [row for row in found if row.get(key) is not None]
        filled.sort(key=lambda row: _sort_key(row[key]), reverse=query.descending)
        found = filled + [row for row in found if row.get(key) is None]  # what is unknown comes last, either way
    return Table(query.name, title, columns, query, found, len(rows))


def _has(row: Row, columns: Sequence[Column], text: str) -> bool:
    wanted = text.casefold()
    return any(
        wanted in str(row.get(column.key, "")).casefold() or wanted in cell_text(row.get(column.key)).casefold()
        for column in columns
    )


def _sort_key(value: Any) -> tuple[int, Any]:
    """Numbers before texts, so that a mixed column has an order."""
    return (0, value) if isinstance(value, int | float | Decimal) else (1, str(value))
