"""SQL lives in files, each query under a name."""

from pathlib import Path

import duckdb
import pytest

import batcher
from batcher.queries import Query, load_queries

FOLDER = Path(batcher.__file__).parent
STEMS = sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.mark.parametrize("stem", STEMS)
def test_every_query_is_used(stem: str) -> None:
    """By its name; steps of the schema and definitions are all run."""
    sources = "".join(path.read_text("utf-8") for path in FOLDER.rglob("*.py"))
    unused = [
        name for name in load_queries(stem) if not name.startswith(("step_", "define_")) and f'"{name}"' not in sources
    ]
    assert unused == []


def test_a_query_takes_of_the_values_those_that_it_has_parameters_for() -> None:
    """And misses those that are not given."""
    query = Query("SELECT $a + $b_ms")
    with duckdb.connect() as connection:
        assert query.value(connection, a=1, b_ms=2, c=3) == 3
        assert query.table(connection, a=1, b_ms=2, c=3).num_rows == 1
        with pytest.raises(KeyError, match="b_ms"):
            query.rows(connection, a=1)


def test_a_query_for_one_of_several_tables_names_it() -> None:
    """The same statement serves all of them."""
    assert Query("DELETE FROM {table} WHERE key = $key").of_table("items").sql == "DELETE FROM items WHERE key = $key"
