"""What every tier shares: one real broker a process, and names that no other test uses."""

import atexit
import os
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from acceptance_feeds import RETAIL_ENVIRONMENT, feed_all, sample, start_retail
from pages_world import PagesWorld, running_pages
from pipeline_world import PipelineWorld
from spoilt_retail import feed_spoilt
from xdist.scheduler import LoadScopeScheduling

from sandbox.feed import write_feed
from sandbox.kafka import FAST_START_JVM, EmbeddedKafka

#: Tests that share what takes minutes to make, a drained pipeline or a console with all its pages.
SHARING = (
    "tests/acceptance/test_retail",
    "tests/browser/",
    "tests/integration/test_console_pages.py",
)


PROMPT = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}


class _Scheduling(LoadScopeScheduling):
    """What runs in one process where the run is divided: all that shares such things, and else a module.

    The groups of xdist's own `loadgroup` are lost with pytest 9.2: each test went to whichever process was free, and
    both made everything.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "sharing" if nodeid.startswith(SHARING) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """How the run is divided."""
    return _Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def bytecode() -> Iterator[None]:
    """Processes under test share compiled modules, also where the environment asks for none: to compile them anew takes
    longer than all else that a worker does at its start. `make test` has a folder for them, which it keeps."""
    if sys.pycache_prefix and not sys.dont_write_bytecode:
        yield
        return
    with TemporaryDirectory(prefix="velocity-bytecode-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", folder)
        yield


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedKafka]:
    """A real Kafka for all tests of a process; a test that stops or kills its broker starts one of its own.

    What a killed process has left open is aborted when its transaction's time is up, not up to ten seconds later.
    """
    with EmbeddedKafka(jvm=FAST_START_JVM, properties=PROMPT) as kafka:
        yield kafka
        kafka.kill()  # nobody wants its data any more


@pytest.fixture(scope="session")
def pages(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """A pipeline with a console for all tests that only look: see `running_pages`."""
    with running_pages(broker.bootstrap_servers, tmp_path_factory.mktemp("pages")) as world:
        yield world


@pytest.fixture(scope="session")
def pipeline(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineWorld]:
    """The retail sample, produced and drained once for the run."""
    directory, feed = tmp_path_factory.mktemp("retail"), tmp_path_factory.mktemp("feed")
    with closing(PipelineWorld.whole(broker.bootstrap_servers, directory, 2, RETAIL_ENVIRONMENT)) as world:
        start_retail(world)
        write_feed(sample(), feed)
        feed_all(world, feed)
        world.drain(within_s=180)
        yield world


@pytest.fixture(scope="module")
def spoilt_world(
    request: pytest.FixtureRequest, broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PipelineWorld]:
    """The sample with lines of twelve kinds that are refused, as many of each as the test says, drained; every module
    has its own to repair."""
    directory = tmp_path_factory.mktemp("spoilt-retail")
    with closing(PipelineWorld.whole(broker.bootstrap_servers, directory, 2, RETAIL_ENVIRONMENT)) as world:
        feed_spoilt(world, request.param)
        yield world


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics and groups that belongs to this run of this test alone."""
    test = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")
    return f"{test}-{uuid.uuid4().hex[:8]}."


def pytest_unconfigure() -> None:
    """Let the summary be the last line: at exit DuckDB's binding lists objects that other extensions still hold."""
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
