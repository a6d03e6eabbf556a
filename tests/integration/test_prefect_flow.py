"""The nightly job by way of Prefect: its real engine, on an ephemeral server, against a worker's API as it answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from prefect import State, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from console.nightly_request import NightRefused
from console.prefect_flow import deployment, main, nightly
from runtime.health import serve_http


@pytest.fixture(scope="module", autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect with a server, a database and a home of the test's own, which tell nobody of it."""
    from prefect.testing.utilities import prefect_test_harness  # its server: seconds that no other test shall wait

    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_HOME: tmp_path_factory.mktemp("prefect")}):
        patch.setenv("DO_NOT_TRACK", "1")
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        with prefect_test_harness(server_startup_timeout=180):
            yield


class Worker:
    """A batch worker that answers requests for the night's job by a script; the last answer stays."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str | None]] = []
        self.asked: list[Any] = []

    async def run(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        outcome, why = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        row = {"site_id": "S1", "night": "2026-10-25", "outcome": outcome, "why": why}
        return web.json_response({"rows": [row], "not_ready": {}})


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    """A worker where the settings say that the API is."""
    worker, app = Worker(), web.Application()
    app.router.add_post("/api/v1/schedule/run", worker.run)
    runner, port = await serve_http(app, "127.0.0.1", 0)
    monkeypatch.setenv("VELOCITY_API__URL", f"http://127.0.0.1:{port}")
    yield worker
    await runner.cleanup()


async def run_flow(**parameters: Any) -> State[Any]:
    """The final state of a run of the flow, retries without waiting."""
    return await nightly(site="S1", retry_delays_s=[0, 0], return_state=True, **parameters)


async def test_a_failure_is_tried_again_until_the_job_is_done(worker: Worker) -> None:
    """By Prefect's own retries; the run is completed, and its result says what became of the night."""
    worker.answers = [("failed", "too large"), ("done", None)]
    state = await run_flow()
    assert state.is_completed()
    (row,) = await state.result()
    assert (row["site_id"], row["outcome"]) == ("S1", "done")
    assert worker.asked == [{"site_id": "S1", "now": False}] * 2


async def test_a_failure_that_stays_fails_the_run_with_its_reason(worker: Worker) -> None:
    """After as many retries as there are delays."""
    worker.answers = [("failed", "too large")]
    state = await run_flow(outside=True)
    assert state.is_failed()
    assert "S1: too large" in (state.message or "")
    assert worker.asked == [{"site_id": "S1", "now": True}] * 3


async def test_a_refusal_is_not_tried_again(worker: Worker) -> None:
    """No retry heals it before the site opens: the run fails at once and says until when."""
    worker.answers = [("refused", "blacked out for picking wave until 2026-10-25T09:00:00Z")]
    state = await run_flow()
    assert state.is_failed()
    with pytest.raises(NightRefused, match="blacked out for picking wave until"):
        await state.result()
    assert len(worker.asked) == 1


async def test_a_job_that_was_done_already_is_done(worker: Worker) -> None:
    """The built-in scheduler, or another run, has made it."""
    worker.answers = [("already done", None)]
    assert (await run_flow()).is_completed()


async def test_a_schedule_of_prefects_own_is_in_the_zone_of_the_site() -> None:
    """As the server has it, once the process that serves the flow has said so."""
    made = await deployment("5 2 * * *", "Europe/London", "S1")
    async with get_client() as client:
        known = await client.read_deployment(await made.aapply())
    (entry,) = known.schedules
    assert (known.name, known.parameters) == ("nightly-S1", {"site": "S1"})
    assert (entry.schedule.cron, entry.schedule.timezone) == ("5 2 * * *", "Europe/London")


def test_without_a_server_that_has_a_scheduler_nothing_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    """The flow would wait for ever for somebody to begin it: exit code 3 says what is missing."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(SystemExit) as ended:
        main(["--site", "S1"])
    assert ended.value.code == 3
    assert "PREFECT_API_URL is not set" in capsys.readouterr().err
