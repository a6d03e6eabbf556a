"""Whole pipelines for the acceptance tier: workers as processes, fed and drained by the command line."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pipeline_world import PipelineWorld

from sandbox.kafka import EmbeddedKafka

MakeWorld = Callable[..., PipelineWorld]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def make_world(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeWorld]:
    """Makes worlds with a batch worker's address set; all end with the module."""
    worlds: list[PipelineWorld] = []

    def make(name: str, partitions: int = 2, **environment: str) -> PipelineWorld:
        directory: Path = tmp_path_factory.mktemp(name)
        world = PipelineWorld(broker.bootstrap_servers, directory.name, directory, partitions)
        world.extra["VELOCITY_API__URL"] = f"http://127.0.0.1:{free_port()}"
        world.extra |= environment
        world.run("topics", "apply")
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()
