"""What the API answers about all sites: all of them, or why not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from batcher import announced
from batcher.agenda import Agenda
from batcher.api import PARTITIONS_HEADER, Api, naming_partitions
from batcher.following import Position
from batcher.holds import Holds
from batcher.manifests import Progress
from batcher.objections import Ambiguous, Incomplete, NotFound, NotReady
from batcher.owners import CLIENT_PREFIX, Member, sites_of
from batcher.ownership import Ownership
from batcher.partition import OwnedPartition
from batcher.replies import ARROW_STREAM, table_reply
from batcher.service import Service
from runtime.health import Health, serve_http
from runtime.partitioning import partition_of
from runtime.settings import VelocitySettings
from schemas.records import OpenWindow, Window
from schemas.windows import SiteWindows, SiteZones, WindowSpec

PARTITIONS = 2
LEFT, RIGHT = (next(s for s in "ABCDEFGH" if partition_of(s, PARTITIONS) == number) for number in range(PARTITIONS))
HERE = "127.0.0.1:1"


class Town:
    """A worker's service whose parts are as a test sets them; at first it is ready for both partitions, and alone."""

    def __init__(self) -> None:
        windows = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}, "UTC"))
        bench: Any = SimpleNamespace(
            partitions=PARTITIONS,
            batches_topic="b",
            home_of=lambda site_id: partition_of(site_id, PARTITIONS),
            settings=SimpleNamespace(kafka=None, velocity=VelocitySettings()),
            health=Health(),
        )
        self.agenda, self.holds, self.reference = Agenda(windows), Holds[Any](1.0), Position()
        self.records: dict[str, Any] = {}
        loader: Any = SimpleNamespace(holds=self.holds, forget_dropped=self._nothing)
        self.ownership = Ownership(bench, loader, lambda _: None)
        self.ownership.assignment = frozenset(range(PARTITIONS))
        for number in range(PARTITIONS):
            self.own(number, ready=True)
        self.group = [Member("w", CLIENT_PREFIX + HERE, "m", (0, 1))]
        parts: Any = SimpleNamespace(
            ownership=self.ownership,
            loader=loader,
            frontiers=SimpleNamespace(topic="f", position=Position(), records=self.records),
            reference=SimpleNamespace(topic="r", position=self.reference),
        )
        recalculation: Any = SimpleNamespace(settle=self._nothing, calculate=self._calculate)
        owners: Any = SimpleNamespace(members=self._members, sites_of=partial(sites_of, headers={}))
        self.service = Service(bench, self.agenda, parts, recalculation, owners, HERE)

    def own(self, number: int, *, ready: bool) -> None:
        """A partition is ours, and its log is empty."""
        publisher: Any = None
        self.ownership.partitions[number] = OwnedPartition(number, publisher, Progress(0), 0, None, ready)

    def names(self) -> list[str]:
        """The sites that are answered for, and those that are named as not ready."""
        sites, not_ready = self.service.sites()
        return [*(site.site_id for site in sites), *not_ready]

    async def _members(self) -> list[Member]:
        return self.group

    async def _nothing(self) -> None:
        pass

    async def _calculate(self, site_id: str, as_of_ms: int, horizon: str, *_: Any, newest: bool) -> Any:
        return horizon, newest


@pytest.fixture
def town() -> Town:
    """A site on each of two partitions, both ours."""
    town = Town()
    for number, site_id in enumerate((LEFT, RIGHT)):
        town.agenda.book.loaded(site_id, number, 0)
    return town


def test_a_partition_that_is_being_taken_over_again_leaves_no_site_out(town: Town) -> None:
    """After a fence the group still names us as its owner: who asks for all sites has to wait for it."""
    assert town.names() == [LEFT, RIGHT]
    del town.ownership.partitions[1]
    with pytest.raises(NotReady, match="partition 1 of b is being taken over"):
        town.service.sites()
    town.own(1, ready=False)
    with pytest.raises(NotReady, match="partition 1 of b is catching up"):
        town.service.sites()


async def test_a_worker_without_partitions_does_not_know_the_sites(town: Town) -> None:
    """A rebalance has begun, or others own everything."""
    town.ownership.partitions.clear()
    await town.ownership.revoked()
    with pytest.raises(NotReady, match="owns no partition"):
        town.service.sites()


async def test_a_site_of_which_nothing_could_be_loaded_yet_is_named(town: Town) -> None:
    """Its first batch is damaged: it has no facts, and yet it is a site."""
    new = next(s for s in "JKLMN" if partition_of(s, PARTITIONS) == 0)
    town.holds.hold("batch", new, "damaged", 0.0)
    assert town.service.sites()[1] == {new: f"site {new} is held: damaged"}
    with pytest.raises(NotReady, match="damaged"):
        await town.service.site(new)
    with pytest.raises(NotFound):
        await town.service.site(next(s for s in "OPQRS" if partition_of(s, PARTITIONS) == 0))


# -- where there is but one site ---------------------------------------------------------------------------------------


async def test_the_only_site_is_known_once_every_partition_is(town: Town) -> None:
    """A partition that nobody owns, or that still catches up, may have another site."""
    town.agenda.book.remove({1})
    assert await town.service.only_site() == LEFT
    town.group = [Member("w", CLIENT_PREFIX + HERE, "m", (0,))]
    with pytest.raises(NotReady, match=r"partitions \[1\] of b are owned by no batch worker"):
        await town.service.only_site()
    town.group = [Member("w", CLIENT_PREFIX + HERE, "m", (0, 1))]
    town.own(1, ready=False)
    with pytest.raises(NotReady, match="catching up"):
        await town.service.only_site()


async def test_sites_that_are_held_are_sites(town: Town) -> None:
    """Here and at other workers."""
    town.agenda.book.remove({1})
    async with other_worker({"rows": [], "not_ready": {RIGHT: "held"}}) as address:
        town.ownership.assignment = frozenset({0})
        town.group = [
            Member("v", CLIENT_PREFIX + address, "n", (1,)),
            Member("w", CLIENT_PREFIX + HERE, "m", (0,)),
        ]
        with pytest.raises(Ambiguous, match=f"{LEFT}, {RIGHT}"):
            await town.service.only_site()
    with pytest.raises(NotReady, match="another worker does not say"):
        await town.service.only_site()


@asynccontextmanager
async def other_worker(sites: dict[str, Any]) -> AsyncIterator[str]:
    """The address of a worker that has these sites."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(sites)

    app = web.Application()
    app.router.add_get("/api/v1/sites", answer)
    runner, port = await serve_http(app, "127.0.0.1", 0)
    yield f"127.0.0.1:{port}"
    await runner.cleanup()


# -- up to date --------------------------------------------------------------------------------------------------------


async def test_a_recalculation_waits_for_reference_data_loaded_before_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`reference load`, then `recalc`: by the new units."""

    async def ends(_: object, topic: str) -> dict[int, int]:
        return {"f": {0: 0}, "b": {0: 0, 1: 0}, "r": {0: 7}}[topic]

    monkeypatch.setattr(announced, "end_offsets", ends)
    town.agenda.book.remove({0, 1})
    town.reference.reached = {0: 6}
    asked = asyncio.create_task(town.service.recalculate(None, 0, "rolling_30d", partial=False))
    await asyncio.sleep(0.3)
    assert not asked.done()
    town.reference.reached = {0: 7}
    assert await asked == []
    monkeypatch.setattr(announced, "SYNC_S", 0.1)
    town.reference.reached = {0: 6}
    with pytest.raises(NotReady, match="reference data"):
        await town.service.recalculate(None, 0, "rolling_30d", partial=False)


async def test_a_horizon_that_is_only_asked_for_is_not_published(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would keep it up; those of the settings are published at the end of the latest complete window."""

    async def ends(*_: object) -> dict[int, int]:
        return {0: 0, 1: 0}

    monkeypatch.setattr(announced, "end_offsets", ends)
    town.reference.reached = {0: 0, 1: 0}
    site = town.agenda.book.get(LEFT)
    assert site is not None
    site.widen([Window(0, 5)])
    asked = [(5, "rolling_30d"), (5, "rolling_7d"), (4, "rolling_30d")]
    runs = [await town.service.recalculate(LEFT, as_of_ms, horizon, partial=True) for as_of_ms, horizon in asked]
    assert runs == [[("rolling_30d", True)], [("rolling_7d", False)], [("rolling_30d", False)]]


async def test_answers_name_the_partitions_that_they_are_about(town: Town) -> None:
    """Refusals, too; not where a rebalance came between."""
    api = Api()
    desk: Any = None  # nothing is computed here
    api.answer_from(town.service, desk)
    name = naming_partitions(api)

    async def rebalanced(_: web.Request) -> web.StreamResponse:
        town.ownership.assignment = frozenset({0})
        return web.Response()

    async def answered(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    request = make_mocked_request("GET", "/")
    assert (await name(request, answered)).headers[PARTITIONS_HEADER] == "0,1"
    assert PARTITIONS_HEADER not in (await name(request, rebalanced)).headers
    assert (await name(request, answered)).headers[PARTITIONS_HEADER] == "0"


def test_an_arrow_answer_says_which_sites_it_leaves_out() -> None:
    """In the schema's metadata; also where it has no table."""
    request = make_mocked_request("GET", "/", headers={"Accept": ARROW_STREAM})
    for table in (pa.table({"sku": ["A"]}), pa.table({})):
        body = table_reply(request, table, {"S": "held"}).body
        assert isinstance(body, bytes)
        found = pa.ipc.open_stream(body).read_all()
        assert found.replace_schema_metadata(None) == table
        assert found.schema.metadata == {b"not_ready": b'{"S":"held"}'}


@pytest.mark.parametrize("asked", [None, LEFT])
async def test_an_instant_is_not_complete_while_a_window_before_it_is_open(
    town: Town, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a site of which nothing has been loaded yet: it must not be left out in silence. A window that starts at
    the instant does not matter, nor does a site of another worker."""

    async def ends(*_: object) -> dict[int, int]:
        return {0: 0, 1: 0}

    monkeypatch.setattr(announced, "end_offsets", ends)
    town.reference.reached = {0: 0, 1: 0}
    town.agenda.book.remove({0, 1})
    window = OpenWindow(site_id=LEFT, start=5, end=10, first_offset=0, count=1, offsets_hash="0" * 16)
    town.records["orders/0"] = SimpleNamespace(open_windows=(window,))
    with pytest.raises(Incomplete, match=f"{LEFT}: window .* is open"):
        await town.service.recalculate(asked, 6, "rolling_30d", partial=False)
    assert await town.service.recalculate(None, 5, "rolling_30d", partial=False) == []
    assert await town.service.recalculate(None, 6, "rolling_30d", partial=True) == []
    town.ownership.assignment = frozenset({1})
    assert await town.service.recalculate(None, 6, "rolling_30d", partial=False) == []
