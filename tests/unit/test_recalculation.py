"""One site's trouble is not that of others: calculations that fail, and partitions that wait to publish."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from batcher.agenda import Agenda, now_ms
from batcher.manifests import Progress
from batcher.partition import OwnedPartition
from batcher.publication import Publication
from batcher.recalculation import Parts, Recalculation
from batcher.sites import Site
from batcher.traces import SiteTraces
from batcher.triggers import never
from runtime.batch_settings import HorizonName
from runtime.health import Health
from runtime.settings import Settings, VelocitySettings
from schemas.windows import SiteWindows, SiteZones, WindowSpec

HOUR = 3_600_000
WINDOWS = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}))


def taken_over() -> OwnedPartition:
    """A partition of the batches topic that has caught up, over an empty coefficients topic."""
    publisher: Any = None
    return OwnedPartition(0, publisher, Progress(0), 0, {}, ready=True)


class World:
    """A batch worker's calculations over a database that does as `calculate` says."""

    def __init__(
        self, calculate: Callable[[str], Awaitable[None]], horizons: tuple[HorizonName, ...] = ("rolling_30d",)
    ) -> None:
        self.health, self.agenda, self.settled, self.baselines = Health(), Agenda(WINDOWS), 0, 0
        self.calculations: list[str] = []
        self.horizons: list[str] = []
        self._calculate = calculate
        database = SimpleNamespace(write=self._write, read=self._read)
        bench: Any = SimpleNamespace(
            database=database,
            health=self.health,
            backoff_s=0.05,
            wall_ms=lambda: 0,
            windows=WINDOWS,
            settings=Settings(velocity=VelocitySettings(horizons=horizons)),
            traces=SiteTraces(),
            home_of=lambda site_id: 0,
        )
        holds = SimpleNamespace(sites=frozenset())
        loader: Any = SimpleNamespace(is_loading=lambda site_id: False, holds=holds)
        board = SimpleNamespace(forget_older=self._settled)
        frontiers = SimpleNamespace(board=board, passed=lambda place: None)
        reference = SimpleNamespace(position=SimpleNamespace(caught_up=True))
        parts: Any = SimpleNamespace(
            ownership=SimpleNamespace(partitions={}), loader=loader, frontiers=frontiers, reference=reference
        )
        self.recalculation = Recalculation(bench, self.agenda, Parts(**vars(parts)))
        self.owned = taken_over()
        ownership: Any = SimpleNamespace(partitions={0: self.owned})
        self.publication = Publication(bench, self.agenda, ownership, loader, self.recalculation)

    async def _write(self, work: Callable[..., Any], *args: Any, **_: Any) -> Any:
        if work.__name__ == "set_baseline":
            self.baselines += 1
        elif work.__name__ == "calculate":
            self.calculations.append(args[0])
            self.horizons.append(args[2])
            await self._calculate(args[0])
        return SimpleNamespace(calculated_at_ms=0, skus=1, run_id="")

    async def _read(self, *_: Any) -> list[Any]:
        return []

    def _settled(self, _: Any) -> None:
        self.settled += 1

    def due(self, *sites: str) -> None:
        """These sites have come here with complete windows."""
        for site_id in sites:
            self.agenda.book.enter(Site(site_id, 0, WINDOWS.grid_of(site_id), 0))
            self.agenda.triggers.begin(site_id, 100 * HOUR, now_ms())
        self.agenda.wake()

    async def work(self, seconds: float, *more: Awaitable[None]) -> None:
        """Calculate and publish for a while."""
        tasks = [asyncio.ensure_future(part) for part in (self.recalculation.run(), self.publication.run(), *more)]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def fails_for_bad(site_id: str) -> None:
    if site_id == "BAD":
        raise duckdb.OutOfMemoryException("too large")


async def test_a_site_that_cannot_be_calculated_holds_up_nobody() -> None:
    """Others are calculated and published, bookkeeping goes on, it is tried again, and readiness names it."""
    world = World(fails_for_bad)
    world.due("BAD", "GOOD")
    await world.work(1.5)
    assert world.calculations.count("BAD") > 2
    assert world.calculations.count("GOOD") == 1
    assert world.settled > 3
    assert world.baselines == 1
    ready, reasons = world.health.ready()
    assert not ready
    assert "BAD could not be calculated" in reasons["calculation of BAD"]
    world.agenda.dropped([0])
    await world.work(0.7)
    assert world.health.ready() == (True, {})


async def test_a_site_is_calculated_for_each_horizon_of_the_settings() -> None:
    """In their order, and for no other."""

    async def works(_: str) -> None:
        return

    world = World(works, horizons=("rolling_7d", "rolling_91d"))
    world.due("S")
    await world.work(0.7)
    assert world.horizons == ["rolling_7d", "rolling_91d"]


@pytest.mark.parametrize("error", [duckdb.FatalException, duckdb.InternalException])
async def test_a_database_beyond_use_ends_the_worker(error: type[Exception]) -> None:
    """Retrying on it would go on for ever; a restart opens it anew."""

    async def fatal(_: str) -> None:
        raise error("database has been invalidated")

    world = World(fatal)
    world.due("A")
    with pytest.raises(error):
        await world.work(5)


async def test_a_steady_stream_of_corrections_does_not_put_off_publication() -> None:
    """Some site is due at any time; but each has been calculated once since the partition came."""

    async def slow(_: str) -> None:
        await asyncio.sleep(0.02)

    world = World(slow)
    sites = [f"S{number}" for number in range(10)]
    world.due(*sites)

    async def corrections() -> None:
        while True:
            for site_id in sites:
                world.agenda.triggers.facts_changed(site_id, 0, now_ms())
            world.agenda.wake()
            await asyncio.sleep(0.1)

    await world.work(2.5, corrections())
    assert len(world.calculations) > 20
    assert world.baselines == 1


async def test_a_site_in_a_blackout_holds_up_nobody_and_is_calculated_after_it() -> None:
    """Others are calculated and their partition is published; what it had before stands meanwhile."""
    world = World(fails_for_bad)
    world.agenda.is_blacked_out = {"DARK"}.__contains__
    world.due("DARK", "GOOD")
    await world.work(1.2)
    assert (world.calculations, world.baselines) == (["GOOD"], 1)
    assert world.agenda.deferred_sites == {"DARK"}
    world.agenda.is_blacked_out = never
    await world.work(0.7)
    assert world.calculations == ["GOOD", "DARK"]
