"""The SQL of the desk's index lives in `index.sql`; each statement begins with a line `-- name: what_it_does`."""

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """The statements by name."""
    _, *parts = _NAME.split(resources.files("console.desk").joinpath("index.sql").read_text("utf-8"))
    return dict(zip(parts[::2], (sql.strip().removesuffix(";") for sql in parts[1::2]), strict=True))


def statement(name: str, **parts: str | int) -> str:
    """A statement with a piece of SQL in each of its places, which stand there as `{name}`: never a value."""
    sql = statements()[name]
    return sql.format(**parts) if parts else sql
