"""`velocity compute` and `velocity chunks`: on a real broker, against a compute API that misbehaves by script."""

import asyncio
import csv
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from command_line import velocity
from pipeline_world import PipelineWorld

from batcher.delivery.failed_chunks import FailedChunkLog, read_histories
from console.configuration import load_settings
from runtime.health import serve_http
from runtime.settings import Settings
from sandbox.wms import FakeCompute, Fault, FaultScript
from schemas.failed_chunks import ChunkError, ChunkState, FailedChunk


@contextmanager
def running(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """The loop turns in a thread of its own: a command within this process has another."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For the servers that commands ask."""
    loop = asyncio.new_event_loop()
    with running(loop):
        yield loop


@pytest.fixture
def server(loop: asyncio.AbstractEventLoop, world: PipelineWorld) -> Iterator[FakeCompute]:
    """A compute API that the commands of this world ask."""
    server = FakeCompute()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    world.extra["VELOCITY_API__URL"] = server.url
    yield server
    asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)


def settings_of(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a process of this world would have."""
    for name, value in world.environment.items():
        if name.startswith("VELOCITY_"):
            monkeypatch.setenv(name, value)
    return load_settings()


def test_skus_are_computed_in_every_format(world: PipelineWorld, server: FakeCompute, tmp_path: Path) -> None:
    """From arguments, a file and standard input; a row for each SKU in its place, also where it comes twice."""
    file = tmp_path / "skus.txt"
    file.write_text("B\n\nA\n")
    said = velocity(world, "compute", "C", "--file", str(file), "--format", "csv", "--site", "S")
    assert [row["sku"] for row in csv.DictReader(io.StringIO(said.stdout))] == ["C", "B", "A"]
    said = velocity(world, "compute", "--file", "-", "--format", "json", stdin=b"A\nB\nA\n")
    assert json.loads(said.stdout) == [{"sku": sku, "status": "ok"} for sku in "ABA"]
    velocity(world, "compute", "A", "--format", "parquet", "--out", str(tmp_path / "a.parquet"))
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [{"sku": "A", "status": "ok"}]
    assert "A    ok" in velocity(world, "compute", "A", "--as-of", "2026-03-28T16:00:00+01:00").stdout
    assert server.questions[0]["site_id"] == "S"
    assert server.questions[-1]["as_of"] == "2026-03-28T15:00:00Z"


def test_what_makes_no_sense_is_refused_before_anybody_is_asked(world: PipelineWorld, server: FakeCompute) -> None:
    """With what to write instead."""
    assert "say which" in velocity(world, "compute", code=2).output
    assert "from 5,000 to 20,000" in velocity(world, "compute", "A", "--batch-size", "10", code=2).output
    assert "write an instant" in velocity(world, "compute", "A", "--as-of", "today", code=2).output
    assert "no such file" in velocity(world, "compute", "--file", "nowhere", code=2).output.lower()
    assert "say which" in velocity(world, "chunks", "retry", code=2).output
    assert server.questions == []


def test_a_chunk_that_failed_is_listed_shown_and_tried_again(
    world: PipelineWorld, server: FakeCompute, tmp_path: Path
) -> None:
    """The exit code and the topic say so; a retry that fails counts as one more, one that succeeds closes it."""
    server.script = FaultScript(first=(Fault.REFUSED, Fault.REFUSED))
    said = velocity(world, "compute", "A", "B", "--format", "json", "--site", "S", code=1)
    assert [row["status"] for row in json.loads(said.stdout)] == ["failed", "failed"]
    assert "2 of 2 SKUs have no answer" in said.output and "velocity chunks retry" in said.output

    (listed,) = json.loads(velocity(world, "chunks", "list", "--sink", "compute", "--json").stdout)
    assert (listed["skus"], listed["site_id"], listed["state"], listed["retries"]) == (["A", "B"], "S", "failed", 0)
    assert listed["error"]["status"] == 422
    assert velocity(world, "chunks", "list", "--site", "T").stdout.count("\n") == 1, "the head alone"

    beginning = listed["chunk_id"][:16]
    assert "failed again" in velocity(world, "chunks", "retry", beginning, code=1).output
    rows = tmp_path / "rows.csv"
    velocity(world, "chunks", "retry", "--sink", "compute", "--out", str(rows))
    assert rows.read_text() == "sku,status\nA,ok\nB,ok\n"
    history = json.loads(velocity(world, "chunks", "show", beginning, "--json").stdout)
    assert [(one["state"], one["retries"]) for one in history] == [("failed", 0), ("failed", 1), ("delivered", 2)]
    assert "delivered after 2 retries" in velocity(world, "chunks", "show", beginning).stdout
    assert json.loads(velocity(world, "chunks", "list", "--json").stdout) == []
    assert len(json.loads(velocity(world, "chunks", "list", "--all", "--json").stdout)) == 1
    assert "is delivered" in velocity(world, "chunks", "retry", beginning, code=2).output


def test_a_chunk_is_discarded_with_a_reason(world: PipelineWorld, server: FakeCompute) -> None:
    """Which is kept, with who gave it; nothing is asked any more."""
    server.script = FaultScript(first=(Fault.REFUSED,))
    velocity(world, "compute", "A", code=1)
    velocity(world, "chunks", "discard", "--sink", "compute", code=2)
    velocity(world, "chunks", "discard", "--sink", "compute", "--reason", "closed")
    (found,) = json.loads(velocity(world, "chunks", "list", "--state", "discarded", "--json").stdout)
    assert found["reason"].startswith("closed (")
    assert server.statuses.total() == 1


def test_chunks_of_other_sinks_are_handed_to_the_owner_of_their_site(
    world: PipelineWorld, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By way of whoever it is that names it; the owner records the state."""
    told: list[tuple[str, dict[str, str]]] = []

    async def take(request: web.Request) -> web.Response:
        told.append((request.path, await request.json()))
        return web.json_response({"state": "retry" if request.path.endswith("retry") else "discarded"})

    async def serve() -> tuple[list[web.AppRunner], str]:
        owner, other = web.Application(), web.Application()
        owner.router.add_post("/api/v1/chunks/{what}", take)
        runner, port = await serve_http(owner, "127.0.0.1", 0)

        async def refer(_: web.Request) -> web.Response:
            fault = {"error": "wrong_owner", "message": "not mine", "owner": f"http://127.0.0.1:{port}"}
            return web.json_response(fault, status=421)

        other.router.add_post("/api/v1/chunks/{what}", refer)
        first, first_port = await serve_http(other, "127.0.0.1", 0)
        return [runner, first], f"http://127.0.0.1:{first_port}"

    async def write(settings: Settings) -> None:
        async with FailedChunkLog(settings) as log:
            for number in range(2):
                await log.write(_delivery_chunk(number))

    runners, world.extra["VELOCITY_API__URL"] = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    asyncio.run(write(settings_of(world, monkeypatch)))
    said = velocity(world, "chunks", "retry", "wms-0", "--json")
    assert json.loads(said.stdout) == {"wms-0": "retry"}
    velocity(world, "chunks", "discard", "wms-1", "--reason", "no longer ours")
    assert told[0] == ("/api/v1/chunks/retry", {"chunk_id": "wms-0", "site_id": "S"})
    assert told[1][0] == "/api/v1/chunks/discard" and told[1][1]["reason"].startswith("no longer ours (")
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)


async def test_the_log_keeps_the_largest_chunk_and_passes_over_what_is_none(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 SKUs of 256 characters are more than Kafka's default limit."""
    settings = settings_of(world, monkeypatch)
    async with FailedChunkLog(settings) as log:
        large = _delivery_chunk(0, [f"{number:0256}" for number in range(20_000)])
        await log.write(large)
        await log._producer.send_and_wait(log._topic, b"not a chunk")
        await log.write(_delivery_chunk(1))
    histories = await read_histories(settings)
    assert histories == {"wms-0": [large], "wms-1": [_delivery_chunk(1)]}


def _delivery_chunk(number: int, skus: list[str] | None = None) -> FailedChunk:
    return FailedChunk(
        chunk_id=f"wms-{number}",
        sink="wms",
        site_id="S",
        horizon="rolling_30d",
        run_id="r",
        skus=skus or ["A"],
        retries=3,
        error=ChunkError(kind="transient", message="503 by script", status=503),
        at="2026-03-28T15:00:00.000Z",
        state=ChunkState.FAILED,
    )
