"""From calculations to the coefficients topic: after a take-over no site keeps another from being published."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import batch, open_database, order

from batcher.agenda import Agenda, now_ms
from batcher.async_database import AsyncDatabase
from batcher.completeness import PassageBoard
from batcher.database import Database
from batcher.holds import Holds
from batcher.manifests import Progress
from batcher.outbox import OutboxRow
from batcher.partition import Baseline, OwnedPartition
from batcher.publication import Publication
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
        self.heard = asyncio.Event()

    async def publish(self, rows: list[OutboxRow]) -> None:
        """Take everything."""
        self.keys += [row.key for row in rows]
        self.heard.set()


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
        frontiers: Any = SimpleNamespace(board=PassageBoard(), passed=lambda _: NOON)
        reference: Any = SimpleNamespace(position=SimpleNamespace(caught_up=True))
        self.recalculation = Recalculation(self.bench, self.agenda, Parts(self.ownership, loader, frontiers, reference))
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

    async def until_published(self, sites: set[str]) -> None:
        """Wait until rows of these sites have been published."""
        async with asyncio.timeout(20):
            while {key.split("/")[0] for key in self.publisher.keys} != sites:
                await self.publisher.heard.wait()
                self.publisher.heard.clear()


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
