"""`velocity serve` as a process: it starts, says what it cannot reach, and stops."""

import json
import time
import urllib.error
import urllib.request

from pipeline_world import PipelineWorld, until

from sandbox.kafka.probe import free_port


def ask(url: str) -> tuple[int, str]:
    """Status and body; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_the_console_says_what_it_cannot_reach_and_its_pages_answer(world: PipelineWorld) -> None:
    """Without a batch worker: alive, not ready, with the reason in both places; gone within 3 s of SIGTERM, exit 0. A
    second one at the same address is refused, exit 3."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    nobody = f"http://127.0.0.1:{free_port()}"
    where = {"VELOCITY_SERVE__PORT": str(port), "VELOCITY_API__URL": nobody}
    console = world.start("serve", "console", **where)

    def reasons() -> dict[str, str]:
        return json.loads(ask(f"{url}/readyz")[1] or '{"reasons": {}}')["reasons"]

    assert until(lambda: reasons().keys() == {"batch-api"}, 30), console.text
    assert nobody in reasons()["batch-api"]
    assert ask(f"{url}/livez")[0] == 200
    assert "velocity_worker_ready 0.0" in ask(f"{url}/metrics")[1]
    status, page = ask(url)
    assert status == 200
    assert f"the batch API at {nobody} does not answer" in page
    second = world.start("serve", "second", **where)
    assert second.process.wait(30) == 3, second.text
    assert f"cannot listen at 127.0.0.1:{port}" in second.text
    before = time.monotonic()
    assert console.terminate(within_s=10) == 0, console.text
    assert time.monotonic() - before < 3
