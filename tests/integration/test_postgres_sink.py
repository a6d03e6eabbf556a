"""Coefficients in PostgreSQL: a real server, a chunk a transaction, also when the process is killed in one."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from delivery_world import TARGET, DeliveryWorld, publish
from postgres_server import PACKAGE, binaries, running_server

from batcher.delivery import ledger
from runtime.crash_points import CRASH_AT

pytestmark = pytest.mark.skipif(binaries() is None, reason=PACKAGE)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where it answers."""
    folder = binaries()
    assert folder
    with running_server(folder) as dsn:
        yield dsn


def to(server: str, table: str, **more: Any) -> dict[str, Any]:
    """Settings of a sink with that table, in chunks of ten SKUs, one after the other."""
    return {"kind": "postgres", "dsn": server, "table": table, "chunk_skus": 10, "max_concurrency": 1, **more}


async def rows(server: str, table: str) -> dict[str, int]:
    """What the table has: SKU → order lines."""
    connection = await asyncpg.connect(server)
    try:
        return {row["sku"]: row["order_lines"] for row in await connection.fetch(f"SELECT * FROM {table}")}
    finally:
        await connection.close()


def skus(count: int, lines: int = 1) -> dict[str, int]:
    """So many SKUs of so many order lines each."""
    return {f"SKU-{number:03}": lines for number in range(count)}


async def test_the_table_is_what_the_newest_run_has(tmp_path: Path, server: str) -> None:
    """Rows are inserted, replaced and removed; the table is made where there is none."""
    async with DeliveryWorld(tmp_path, to(server, "coefficients")) as world:
        publish(world.database, "r1", skus(25))
        await world.visit()
        assert await rows(server, "coefficients") == skus(25)
        changed = {**skus(25, 2), "NEW": 1}
        del changed["SKU-007"]
        publish(world.database, "r2", changed)
        standing = await world.visit()
        assert await rows(server, "coefficients") == changed
        assert standing.acknowledged
        assert standing.acknowledged.run_id == "r2"


async def test_rows_that_nobody_knows_of_go_where_nothing_is_known(tmp_path: Path, server: str) -> None:
    """After a lost database: SKUs that left meanwhile are removed, those of other sites and horizons stay."""
    async with DeliveryWorld(tmp_path / "lost", to(server, "swept")) as world:
        publish(world.database, "r1", skus(25) | {"0": 1, "SKU-014a": 1, "Z": 1, "Ω": 1})
        await world.visit()
    await execute(server, "UPDATE swept SET site_id = 'S2' WHERE sku = 'Z'")
    async with DeliveryWorld(tmp_path / "new", to(server, "swept")) as world:
        publish(world.database, "r2", skus(25, lines=2))
        await world.visit()
    assert await rows(server, "swept") == skus(25, lines=2) | {"Z": 1}


async def execute(server: str, *statements: str) -> None:
    """As the owner of everything."""
    connection = await asyncpg.connect(server)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path: Path, server: str) -> None:
    """Its rows and its further columns stay."""
    async with DeliveryWorld(tmp_path / "before", to(server, "grown")) as world:
        publish(world.database, "r1", skus(5))
        await world.visit()
    lose = "ALTER TABLE grown DROP COLUMN forward_lines, DROP COLUMN stable_class, ADD COLUMN aisle text DEFAULT 'a'"
    await execute(server, lose)
    async with DeliveryWorld(tmp_path / "after", to(server, "grown")) as world:
        publish(world.database, "r2", skus(7, lines=2))
        await world.visit()
    connection = await asyncpg.connect(server)
    found = await connection.fetch("SELECT DISTINCT order_lines, forward_lines, stable_class, aisle FROM grown")
    await connection.close()
    assert [tuple(row) for row in found] == [(2, 2.0, "A", "a")]
    assert await rows(server, "grown") == skus(7, lines=2)


async def test_a_table_that_we_may_not_change_stops_the_sink(tmp_path: Path, server: str) -> None:
    """It says what its owner has to run; once that is done nothing is lost. Of a whole table nothing is wanted."""
    await execute(
        server,
        "CREATE ROLE writer LOGIN",
        "CREATE TABLE lent (site_id text, horizon text, sku text, PRIMARY KEY (site_id, horizon, sku))",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON lent TO writer",
    )
    async with DeliveryWorld(tmp_path, to(server.replace("velocity@", "writer@"), "lent")) as world:
        publish(world.database, "r1", skus(25))
        await world.visit()
        reason = (await world.overview()).stopped["wms"]
        assert "its owner has to run: ALTER TABLE lent ADD COLUMN order_lines bigint" in reason
        await execute(server, reason.partition("its owner has to run: ")[2])
        world.database.change(lambda connection: ledger.resume(connection, "wms"))
        await world.visit()
        assert await rows(server, "lent") == skus(25)
        assert world.records() == []


async def test_a_kill_between_the_copy_and_the_commit_leaves_the_chunk_undone(tmp_path: Path, server: str) -> None:
    """The server rolls back; the next process sends what is not acknowledged."""
    sink = to(server, "killed")
    async with DeliveryWorld(tmp_path, sink) as world:
        publish(world.database, "r1", skus(40))
    tests = Path(__file__).parents[1]
    path = f"{tests}{os.pathsep}{tests.parent}"
    for crash_at, code, there in (("delivery.after_copy:3", -signal.SIGKILL, 20), ("", 0, 40)):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(tests / "delivery_runner.py"),
            str(tmp_path),
            json.dumps(sink),
            env={**os.environ, "PYTHONPATH": path, CRASH_AT: crash_at},
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == code
        assert await rows(server, "killed") == dict(list(skus(40).items())[:there])


async def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """No chunk fails of it: the circuit is open, and what waits says so."""
    sink = to("postgresql://nobody@127.0.0.1:9/none", "t", breaker={"open": "PT0.05S", "longest_open": "PT0.05S"})
    async with DeliveryWorld(tmp_path, sink) as world:
        publish(world.database, "r1", skus(10))
        visiting = asyncio.create_task(world.visit())
        async with asyncio.timeout(20):
            while (await world.overview()).standings[TARGET].chunks != {"sending": 1}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert (await world.overview()).standings[TARGET].chunks == {"sending": 1}
        assert not visiting.done()
        assert world.records() == []
        visiting.cancel()
        await asyncio.gather(visiting, return_exceptions=True)
