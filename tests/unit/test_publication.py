"""From calculations to the coefficients topic: no site keeps another from being calculated or published."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import duckdb
import pytest
from hand_made import batch, open_database, order

from batcher.agenda import Agenda, now_ms
from batcher.async_database import AsyncDatabase
from batcher.completeness import PassageBoard
from batcher.database import Database
from batcher.holds import Holds
from batcher.manifests import Progress
from batcher.outbox import OutboxRow
from batcher.ownership import Ownership
from batcher.partition import Baseline, OwnedPartition
from batcher.publication import Publication
from batcher.publisher import PublicationRefused
from batcher.recalculation import Parts, Recalculation
from runtime.health import Health
from schemas.instants import parse_rfc3339
from schemas.sources import Source
from schemas.windows import SiteWindows, SiteZones, WindowSpec

NOON = parse_rfc3339("2011-05-31T12:00:00Z")
SITES = ("A", "B", "C")


class Recorder:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def publish(self, rows: list[OutboxRow]) -> None:
        """Take everything."""
        self.keys += [row.key for row in rows]


class House:
    """A worker's calculations and publication on a real database; it has just taken partition 0 over."""

    def __init__(self, database: Database) -> None:
        windows = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}))
        self.health, self.agenda, self.publisher = Health(), Agenda(windows), Recorder()
        self.database = AsyncDatabase(database)
        self.bench: Any = SimpleNamespace(
            database=self.database, health=self.health, backoff_s=0.01, wall_ms=lambda: 0, windows=windows
        )
        publisher: Any = self.publisher
        self.owned = OwnedPartition(0, publisher, Progress(0), 0, Baseline())
        self.ownership: Any = SimpleNamespace(partitions={0: self.owned})
        loader: Any = SimpleNamespace(is_loading=lambda _: False, holds=Holds[Any](1.0))
        self.frontiers: Any = SimpleNamespace(board=PassageBoard(), passed=lambda _: NOON)
        reference: Any = SimpleNamespace(position=SimpleNamespace(caught_up=True))
        self.recalculation = Recalculation(
            self.bench, self.agenda, Parts(self.ownership, loader, self.frontiers, reference)
        )
        self.publication = Publication(self.bench, self.ownership, self.recalculation.results)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """While both run."""
        tasks = [asyncio.create_task(part.run()) for part in (self.recalculation, self.publication)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.database.close(5.0)

    def fail_for(self, site_id: str, error: Exception) -> None:
        """From now on a calculation of the site fails."""
        write = self.database.write

        async def failing(work: Any, *args: Any, **more: Any) -> Any:
            if work is Database.calculate and args[0] == site_id:
                raise error
            return await write(work, *args, **more)

        self.database.write = failing

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_published(self, sites: set[str]) -> None:
        """Wait until rows of these sites have been published."""
        await self.until(lambda: {key.split("/")[0] for key in self.publisher.keys} == sites)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Three sites with a fact each; everything to noon has been passed."""
    with closing(open_database(tmp_path / "velocity.duckdb")) as database:
        for site_id in SITES:
            event = order(f"E-{site_id}", "2011-05-31T10:30:00Z", site_id=site_id)
            database.insert_batch(*batch(Source.ORDERS, event), partition=0, offset=0)
    return House(open_database(tmp_path / "velocity.duckdb"))


async def test_sites_that_are_always_due_again_do_not_put_publication_off(house: House) -> None:
    """Corrections come faster than calculations are made: some site of the partition is due at every moment."""

    async def correct() -> None:
        while True:
            for site_id in SITES:
                house.agenda.triggers.facts_changed(site_id, 0, now_ms())
            house.agenda.wake()
            await asyncio.sleep(0)

    async with house.at_work():
        correcting = asyncio.create_task(correct())
        try:
            await house.until_published(set(SITES))
        finally:
            correcting.cancel()
    assert sorted(house.publisher.keys) == [f"{site_id}/rolling_30d/A" for site_id in SITES], "each once"


async def test_a_site_that_cannot_be_calculated_holds_up_nobody(house: House) -> None:
    """Others are calculated and published, partitions are settled; readiness names the site until it has left."""
    house.fail_for("A", duckdb.OutOfMemoryException("full"))
    settled = asyncio.Event()
    async with house.at_work():
        await house.until_published({"B", "C"})
        house.frontiers.board.forget_older = lambda _: settled.set()
        await asyncio.wait_for(settled.wait(), 5)
        assert house.health.not_ready["calculation of A"] == "A could not be calculated, trying again: full"
        house.agenda.dropped({0})
        await house.until(lambda: not house.health.not_ready)


async def test_a_calculation_that_fails_after_its_partition_has_left_says_nothing(house: House) -> None:
    """Nobody would ever clear it."""
    house.agenda.book.loaded("A", 0, 0)
    house.agenda.triggers.windows_complete("A", NOON, 0)
    due = house.agenda.triggers.take(lambda _: False, (), 1)
    assert due
    house.agenda.dropped({0})
    house.fail_for("A", duckdb.OutOfMemoryException("full"))
    await house.recalculation._attempt(due)
    assert house.health.not_ready == {}
    assert house.agenda.triggers.due_sites == set()
    await house.database.close(5.0)


@pytest.mark.parametrize("kind", [duckdb.FatalException, duckdb.InternalException])
async def test_a_database_that_is_beyond_use_ends_the_worker(house: House, kind: type[duckdb.Error]) -> None:
    """A restart heals it; trying again does not."""
    house.fail_for("A", kind("the database has been invalidated"))
    with pytest.raises(kind):
        await asyncio.wait_for(house.recalculation.run(), 20)
    await house.database.close(5.0)


async def test_what_readiness_says_of_publication_ends_with_the_partition(house: House) -> None:
    """Also where the refusal comes when the partition has just been dropped."""
    loader: Any = SimpleNamespace(forget_dropped=AsyncMock())
    bench: Any = SimpleNamespace(**vars(house.bench), home_of=None)
    ownership = Ownership(bench, loader, house.agenda.dropped)
    ownership.partitions[0] = house.owned
    publication = Publication(house.bench, ownership, asyncio.Event())
    publisher: Any = SimpleNamespace(publish=AsyncMock(side_effect=PublicationRefused("too large")), close=AsyncMock())
    house.owned.publisher = publisher
    rows = [OutboxRow(1, "A/rolling_30d/A", "{}")]
    assert not await publication._has_sent(house.owned, rows)
    assert "too large" in house.health.not_ready["publication of partition 0"]
    await ownership._drop([house.owned])
    assert house.health.not_ready == {}
    assert not await publication._has_sent(house.owned, rows)
    assert house.health.not_ready == {}
    await house.database.close(5.0)
