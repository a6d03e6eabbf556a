"""A pipeline of its own for each test, on the shared broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_world import PipelineWorld

from sandbox.kafka import EmbeddedKafka


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator[PipelineWorld]:
    """Topics applied, nothing running yet; whatever the test starts ends with it."""
    world = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    world.apply_topics()
    yield world
    world.close()
