"""The schedule in a batch worker as a process: nights over a kill, blackouts, and what the command line says."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batch_world import HOUR, NOON, BatchWorker, BatchWorld, Order
from pipeline_world import PipelineWorld, until

from sandbox.kafka import EmbeddedKafka
from schemas.sources import Source
from schemas.wall_spans import WallSpan

SITE = "S1"


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator[BatchWorld]:
    """A site with facts, complete up to three hours after noon."""
    pipeline = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        pipeline.extra["VELOCITY_API__URL"] = f"http://127.0.0.1:{probe.getsockname()[1]}"
    world = BatchWorld(pipeline)
    world.checkpoint(Source.ORDERS, NOON + 5 * HOUR, [Order("o1", "SKU-1", NOON + 60_000, 1, SITE)])
    world.pass_all(NOON + 3 * HOUR)
    yield world
    pipeline.close()


def start(world: BatchWorld, **environment: str) -> BatchWorker:
    """The batch worker, over the state of the one before."""
    url = world.world.extra["VELOCITY_API__URL"]
    return BatchWorker(url, world.world.start("batch", "b1", **environment))


def standing(worker: BatchWorker) -> dict[str, Any]:
    """What the worker says of the site; nothing yet while it does not know it."""
    status, body = worker.ask(f"/api/v1/schedule?site_id={SITE}")
    return body["rows"][0] if status == 200 else {}


def run(world: BatchWorld, *options: str) -> tuple[int, dict[str, Any], str]:
    """`velocity schedule run`: exit code, what became of the site's night, and what was remarked."""
    done = world.world.run("schedule", "run", "--site", SITE, "--json", *options, check=False)
    return done.returncode, json.loads(done.stdout)["rows"][0], done.stderr


def off_peak(from_hours: int, to_hours: int) -> str:
    """A window by its distance from the present hour, in UTC, as the program writes it."""
    now = datetime.now(UTC)
    return str(WallSpan.parse("-".join(f"{now + timedelta(hours=hours):%H}:00" for hours in (from_hours, to_hours))))


def test_the_job_of_a_night_is_made_once_over_a_kill(world: BatchWorld) -> None:
    """The window is open, so the worker makes the job by itself; killed and started again, it knows that it did."""
    window = off_peak(-6, 6)
    worker = start(world, VELOCITY_SCHEDULE__OFF_PEAK=window)
    assert until(lambda: standing(worker).get("night_state") == "done"), worker.worker.text
    before = standing(worker)
    assert worker.as_of(SITE) == "2026-03-28T15:00:00Z"
    assert 'velocity_schedule_night_done{site_id="S1"} 1.0' in worker.ask("/metrics", accept="*/*")[1].decode()
    worker.worker.kill()

    worker = start(world, VELOCITY_SCHEDULE__OFF_PEAK=window)
    assert until(lambda: standing(worker).get("night_state") == "done"), worker.worker.text
    code, row, _ = run(world)
    assert (code, row["outcome"], row["night"]) == (0, "already done", before["night"])
    assert standing(worker)["nights"] == before["nights"]
    shown = world.world.run("schedule", "show", "--site", SITE).stdout
    assert f"open until {before['open_until']}" in shown


def test_what_falls_in_a_blackout_is_deferred_and_jobs_are_refused_with_the_reason(world: BatchWorld) -> None:
    """The windows are complete and nothing is calculated; without the blackout it is. Exit codes are for cron."""
    today = date.fromordinal(datetime.now(UTC).toordinal())
    rules = "".join(
        f'[[sites.{SITE}.closed]]\ndate = {today + timedelta(days=delta)}\nkind = "inventory audit"\n'
        for delta in (-1, 0, 1)
    )
    file = world.world.directory / "schedule.toml"
    file.write_text(rules, "utf-8")
    worker = start(world, VELOCITY_SCHEDULE__FILE=str(file))
    assert until(lambda: standing(worker).get("deferred")), worker.worker.text
    assert worker.compute("SKU-1", site_id=SITE)[0] == 404
    code, row, said = run(world, "--now")
    assert (code, row["outcome"]) == (3, "refused")
    assert "refused: S1: blacked out for inventory audit until " in said
    assert worker.worker.terminate() == 0

    window = off_peak(3, 4)
    worker = start(world, VELOCITY_SCHEDULE__BUILTIN="false", VELOCITY_SCHEDULE__OFF_PEAK=window)
    assert until(lambda: worker.as_of(SITE) == "2026-03-28T15:00:00Z"), worker.worker.text
    code, row, _ = run(world)
    assert (code, row["outcome"], row["why"].split(" until ")[0]) == (3, "refused", f"outside of {window}")
    code, row, _ = run(world, "--now")
    assert (code, row["outcome"]) == (0, "done")
    assert run(world)[1]["outcome"] == "already done"


def test_a_schedule_that_is_wrong_is_refused_at_start(world: BatchWorld) -> None:
    """Exit 3, and the last line names the file, the site and the rule."""
    file = world.world.directory / "schedule.toml"
    file.write_text("[[sites.S1.closed]]\ndate = 2026-12-25\nkind = 'lunch'\n", "utf-8")
    worker = start(world, VELOCITY_SCHEDULE__FILE=str(file)).worker
    assert until(lambda: not worker.running), worker.text
    assert worker.process.returncode == 3
    assert f"refused: schedule.file {file}: sites.S1.closed, rule 1: " in worker.text
    assert "kinds are picking wave, receiving" in worker.text
