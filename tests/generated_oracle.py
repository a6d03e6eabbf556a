"""What the velocity of a generated feed must be, by `acceptance/generated_oracle.sql` over its raw lines."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

_TEXT = (Path(__file__).parent / "acceptance" / "generated_oracle.sql").read_text("utf-8")
_QUERIES = dict(part.split("\n", 1) for part in _TEXT.split("-- name: ")[1:])

Row = dict[str, Any]


class HeldFact(NamedTuple):
    """A fact that no unit converts."""

    source: str
    site_id: str
    event_id: str
    sku: str
    uom: str


class GeneratedOracle:
    """A database of a feed's facts; a context manager. It knows no promotions, channels and seasons: factors are 1."""

    def __init__(self, lines: Mapping[str, Iterable[bytes]], items: Sequence[Path]) -> None:
        """Lines per source (orders, returns, cycle-counts); all rows of all items files count together."""
        pairs = [{"source": source, "line": line.decode()} for source, sent in lines.items() for line in sent]
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.register("raw_lines", pa.Table.from_pylist(pairs))
        files = [str(file) for file in items]
        self._connection.execute("CREATE TABLE raw_items AS FROM read_csv(?, all_varchar = true)", [files])
        self._connection.execute(_QUERIES["facts"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def held(self) -> set[HeldFact]:
        """The facts that are held."""
        rows = self._connection.execute("SELECT source, site_id, event_id, sku, uom FROM facts WHERE units IS NULL")
        return {HeldFact(*row) for row in rows.fetchall()}

    def skus(self) -> set[str]:
        """The SKUs that have a fact which is not held."""
        return {sku for (sku,) in self._connection.execute("SELECT sku FROM facts WHERE units IS NOT NULL").fetchall()}

    def facts(self) -> int:
        """How many lines there are; each must be a fact of its own."""
        query = "SELECT count(*), count(DISTINCT (source, site_id, event_id)) FROM facts"
        ((lines, facts),) = self._connection.execute(query).fetchall()
        assert lines == facts, "the oracle does not tell duplicates apart"
        return facts

    def velocity(self, site_id: str, as_of: datetime) -> dict[str, Row]:
        """Every row of a site by SKU; `as_of` is wall time with the site's zone."""
        self.bounds(as_of)
        values = {"site": site_id, "zone": str(as_of.tzinfo)}
        cursor = self._connection.execute(_QUERIES["velocity"], values)
        names = [column[0] for column in cursor.description or ()]
        rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
        return {row["sku"]: row for row in rows}

    def bounds(self, as_of: datetime) -> dict[int, datetime]:
        """The instants so many days of wall time before `as_of`."""
        assert isinstance(as_of.tzinfo, ZoneInfo), "wall time needs a zone that knows its DST changes"
        self._connection.execute(_QUERIES["bounds"], {"zone": as_of.tzinfo.key, "as_of": as_of.isoformat()})
        return dict(self._connection.execute("SELECT days, moment FROM bounds").fetchall())
