"""A pipeline that has refused records of every kind, and a console that shows them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer
from console_world import ConsoleWorld
from pipeline_world import PipelineWorld

from sandbox.spoilt_feed import SentLine, spoilt
from schemas.sources import Source

START = datetime(2011, 3, 1, tzinfo=UTC)
SITE = "DC1"
A_DAY = 24 * 60  # minutes


def right_lines(count: int, first: int = 0) -> list[bytes]:
    """Orders of one site, a minute apart, from one number on."""
    return [
        msgspec.json.encode(
            {
                "event_id": f"e{number}",
                "site_id": SITE,
                "sku": f"S{number % 7}",
                "event_time": (START + timedelta(minutes=number)).isoformat(),
                "quantity": 1 + number % 5,
                "uom": "EA",
                "order_id": f"o{number // 3}",
                "line": number % 3 + 1,
                "channel": None,
            }
        )
        for number in range(first, first + count)
    ]


@dataclass
class LettersWorld:
    """The pipeline runs; `kinds` of each spoilt kind are dead letters."""

    pipeline: PipelineWorld
    kinds: int
    sent: int = 0
    console_changes: dict[str, Any] = field(default_factory=dict[str, Any])

    def console(self, directory: Path) -> ConsoleWorld:
        """A console of this pipeline that is not started yet."""
        directory.mkdir(exist_ok=True)
        settings = self.pipeline.settings().model_dump(exclude={"serve"})
        changes = {**settings, "state_dir": directory / "state", "desk": {"recipes": directory / "recipes"}}
        return ConsoleWorld(directory, {**changes, **self.console_changes})

    def send(self, lines: list[SentLine], key: bytes | None = None) -> None:
        """Send lines of orders with the header that names their producer, and wait until they are judged."""
        producer = Producer({"bootstrap.servers": self.pipeline.bootstrap, "linger.ms": 20})
        topic = self.pipeline.source_topic(Source.ORDERS)
        for number, line in enumerate(lines):
            headers = [("producer", line.producer)] if line.producer else []
            producer.produce(topic, line.value, key=key, partition=number % 2, headers=headers)
        producer.flush(30)
        self.sent += len(lines)
        self.wait_until_judged()

    def wait_until_judged(self, within_s: float = 60) -> None:
        """Until a checkpoint has passed everything that was sent here."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if sum(frontier.counts.delivered for frontier in self.pipeline.frontiers().values()) >= self.sent:
                return
            time.sleep(0.1)
        raise AssertionError(f"not judged within {within_s} s\n{self.pipeline.logs}")


@contextmanager
def letters_world(bootstrap: str, directory: Path, kinds: int) -> Iterator[LettersWorld]:
    """A pipeline with a spoilt feed behind it, whose windows are all closed: what is repaired becomes a correction. Its
    workers end with it."""
    pipeline = PipelineWorld.whole(bootstrap, directory, 2, {"VELOCITY_WINDOW__SPEC": "PT1H"})
    world = LettersWorld(pipeline, kinds)
    try:
        pipeline.start("stream", "s1")
        pipeline.start("batch", "b1")
        world.send([*spoilt(right_lines(kinds * 36), kinds), *map(SentLine, right_lines(2, first=kinds * 36 + A_DAY))])
        yield world
    finally:
        pipeline.close()
