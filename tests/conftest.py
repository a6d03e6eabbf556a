"""What every tier shares: one real broker for the whole run, and names that no other test uses."""

import atexit
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from acceptance_feeds import RETAIL_ENVIRONMENT, feed_all, start_retail
from pages_world import PagesWorld, running_pages
from pipeline_world import PipelineWorld

from sandbox import retail_sample
from sandbox.kafka import FAST_START_JVM, EmbeddedKafka

#: Tiers whose tests run in one process, one after the other: they share a broker and whole pipelines, and start
#: processes that need a core of their own.
SERIAL_TIERS = ("integration", "acceptance", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what belongs together where the run is divided among processes: all that needs the broker, else a module."""
    root = Path(__file__).parent
    for item in items:
        tier = item.path.relative_to(root).parts[0]
        group = "broker" if tier in SERIAL_TIERS else item.path.relative_to(root).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def bytecode() -> Iterator[None]:
    """Processes under test share compiled modules, also where the environment asks for none: to compile them anew takes
    longer than all else that a worker does at its start."""
    with TemporaryDirectory(prefix="velocity-bytecode-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", folder)
        yield


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedKafka]:
    """A real Kafka for the whole run; a test that stops or kills its broker starts one of its own."""
    with EmbeddedKafka(jvm=FAST_START_JVM) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def pages(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """A pipeline with a console for all tests that only look: see `running_pages`."""
    with running_pages(broker.bootstrap_servers, tmp_path_factory.mktemp("pages")) as world:
        yield world


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


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics and groups that belongs to this run of this test alone."""
    test = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")
    return f"{test}-{uuid.uuid4().hex[:8]}."


def pytest_unconfigure() -> None:
    """Let the summary be the last line: at exit DuckDB's binding lists objects that other extensions still hold."""
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
