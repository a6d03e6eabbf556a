"""SQL lives in the `.sql` files of this package; each query begins with a line `-- name: what_it_does`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load_queries(stem: str) -> Mapping[str, str]:
    """The queries of `stem.sql` by name, in their order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name stands twice, or text stands before the first one that is not a comment.
    """
    preamble, *parts = _NAME.split(resources.files("batcher").joinpath(f"{stem}.sql").read_text("utf-8"))
    if any(line and not line.startswith("--") for line in preamble.splitlines()):
        raise ValueError(f"{stem}.sql begins without a name")
    names, queries = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{stem}.sql names a query twice")
    return MappingProxyType(dict(zip(names, map(str.strip, queries), strict=True)))


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> Iterator[None]:
    """Queries of the connection may read `rows` under `name`."""
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)


def fetch_table(connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
    """The result of a query that only reads."""
    return connection.sql(query, params=dict(values or {})).to_arrow_table()
