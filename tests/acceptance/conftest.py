"""Whole pipelines for the acceptance tier: workers as processes, fed and drained by the command line."""

from collections.abc import Callable, Iterator

import pytest
from pipeline_world import PipelineWorld

from sandbox.kafka import EmbeddedKafka

MakeWorld = Callable[..., PipelineWorld]


@pytest.fixture(scope="module")
def make_world(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeWorld]:
    """Makes worlds with a batch worker's address set; all end with the module."""
    worlds: list[PipelineWorld] = []

    def make(name: str, partitions: int = 2, **environment: str) -> PipelineWorld:
        directory = tmp_path_factory.mktemp(name)
        worlds.append(PipelineWorld.whole(broker.bootstrap_servers, directory, partitions, environment))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
