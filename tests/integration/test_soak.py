"""Hours in minutes: two stream workers killed and paused over and over while events flow. `make soak` runs it."""

import json
import random
import time
from datetime import UTC, datetime

import pytest
from pipeline_world import PipelineWorld, WorkerProcess, until

from schemas.sources import Source

STRIKES = 24


def lines(rng: random.Random, number: int, now_ms: int) -> list[bytes]:
    """A few hundred events of any source, most within the disorder bound, some hours late, some malformed."""
    found: list[bytes] = []
    for index in range(rng.randint(50, 400)):
        late_ms = rng.randint(0, 500_000) if rng.random() < 0.95 else rng.randint(0, 20_000_000)
        event = {
            "event_id": f"e{number}-{index}",
            "site_id": rng.choice("AB"),
            "sku": f"S{rng.randint(0, 99)}",
            "event_time": datetime.fromtimestamp((now_ms + index * 2_000 - late_ms) / 1000, UTC).isoformat(),
            "quantity": rng.randint(1, 9),
            "uom": "EA",
            "order_id": "o",
            "line": 1,
            "return_id": "r",
            "count_id": "c",
            "variance": rng.randint(-9, 9),
        }
        found.append(b"malformed" if rng.random() < 0.01 else json.dumps(event).encode())
    return found


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2])
def test_two_workers_under_fire_lose_and_double_nothing(world: PipelineWorld, seed: int) -> None:
    """Random SIGKILLs, and pauses past the session timeout, of two workers: every offset in exactly one place."""
    rng = random.Random(seed)
    workers = {name: world.start("stream", name) for name in ("w0", "w1")}
    kills = pauses = 0
    for strike in range(STRIKES):
        for number, source in enumerate(Source):
            world.produce(source, lines(rng, strike * 3 + number, 1_700_000_000_000 + strike * 600_000))
        time.sleep(rng.uniform(0.2, 3))
        name = rng.choice(sorted(workers))
        if rng.random() < 0.8 or not workers[name].running:
            workers[name].kill()
            kills += 1
            time.sleep(rng.uniform(0, 1.5))
        else:
            _pause_past_the_session(workers[name], rng)
            pauses += 1
        for each, worker in workers.items():
            if not worker.running:
                workers[each] = world.start("stream", each)
    assert until(lambda: all("assigned" in worker.text for worker in workers.values()), 60)
    world.drain("--no-batch-wait", stop=True, within_s=180)
    total = world.assert_each_offset_once()
    counts = [frontier.counts for frontier in world.frontiers().values()]
    assert sum(c.delivered for c in counts) == total
    assert all(c.delivered == c.batched + c.corrected + c.dead for c in counts)
    print(f"{total} records, {kills} kills, {pauses} pauses")  # noqa: T201


def _pause_past_the_session(worker: WorkerProcess, rng: random.Random) -> None:
    worker.pause()
    time.sleep(rng.uniform(7, 10))
    worker.resume()
