"""SQL lives in the `.sql` files of this package; each query begins with a line `-- name: what_it_does`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa

Connection = duckdb.DuckDBPyConnection

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARAMETER = re.compile(r"\$([a-z]\w*)")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with named parameters.

    Values that it has no parameter for are left out, so that a sequence of queries can be given the same ones.
    """

    sql: str
    parameters: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", frozenset(_PARAMETER.findall(self.sql)))

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Run it to the end; its rows."""
        return connection.execute(self.sql, self._chosen(values)).fetchall()

    def value(self, connection: Connection, **values: Any) -> Any:
        """The one value of its one row."""
        ((value,),) = self.rows(connection, **values)
        return value

    def table(self, connection: Connection, **values: Any) -> pa.Table:
        """Its rows as a table. For queries that only read."""
        return connection.sql(self.sql, params=self._chosen(values)).to_arrow_table()

    def reader(self, connection: Connection, **values: Any) -> pa.RecordBatchReader:
        """Its rows, some at a time. For queries that only read; the connection is busy until the last of them."""
        return connection.sql(self.sql, params=self._chosen(values)).to_arrow_reader(1 << 20)

    def of_table(self, table: str) -> "Query":
        """The query for one of several tables: the one that stands for `{table}` in it."""
        return Query(self.sql.format(table=table))

    def filled(self, **parts: str) -> "Query":
        """The query with a piece of SQL in each of its places, which stand there as `{{name}}`: never a value."""
        sql = self.sql
        for name, part in parts.items():
            sql = sql.replace(f"{{{{{name}}}}}", part)
        return Query(sql)

    def _chosen(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self.parameters}


@cache
def load_queries(stem: str) -> Mapping[str, Query]:
    """The queries of `stem.sql` by name, in their order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name stands twice, or something but comments stands before the first one.
    """
    preamble, *parts = _NAME.split(resources.files("batcher").joinpath(f"{stem}.sql").read_text("utf-8"))
    if any(line and not line.startswith("--") for line in preamble.splitlines()):
        raise ValueError(f"{stem}.sql begins without a name")
    names, queries = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{stem}.sql names a query twice")
    return MappingProxyType({name: Query(sql.strip()) for name, sql in zip(names, queries, strict=True)})


@contextmanager
def registered(connection: Connection, name: str, rows: pa.Table) -> Iterator[None]:
    """Queries of the connection may read `rows` under `name`."""
    connection.register(name, rows)
    try:
        yield
    finally:
        with suppress(duckdb.TransactionException):  # after an error, nothing but a rollback is allowed
            connection.unregister(name)
