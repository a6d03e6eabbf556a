"""Whole pipelines for the acceptance tier: workers as processes, fed and drained by the command line."""

from collections.abc import Callable, Iterator

import pytest
from acceptance_feeds import RETAIL_ENVIRONMENT, feed_all, start_retail
from pipeline_world import PipelineWorld

from sandbox import retail_sample
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


@pytest.fixture(scope="session")
def pipeline(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineWorld]:
    """The retail sample, produced and drained once for the run."""
    world = PipelineWorld.whole(broker.bootstrap_servers, tmp_path_factory.mktemp("retail"), 2, RETAIL_ENVIRONMENT)
    start_retail(world)
    feed = tmp_path_factory.mktemp("feed")
    retail_sample.write_feed(feed)
    feed_all(world, feed)
    world.drain(within_s=180)
    yield world
    world.close()
