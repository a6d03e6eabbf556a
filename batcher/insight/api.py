"""What people look at, over HTTP, beside `batcher/api.py`: everything by site, in pages or in a few hundred figures.

| route | answers |
|---|---|
| `GET /api/v1/insight/classes` | a run as a whole: classes, Pareto curve, the fastest, migration and movers |
| `GET /api/v1/insight/skus` | a page of its SKUs: `search`, `abc`, `xyz`, `order`, `descending`, `limit`, `offset` |
| `GET /api/v1/insight/days` | a SKU day by day, and in every run that is kept |
| `GET /api/v1/insight/batches` | a page of the catalogue: `source`, `kind`, `search`, `limit`, `offset` |
| `GET /api/v1/insight/batch` | one batch by `batch_id`, and the runs over its events |
| `GET /api/v1/insight/grid` | the latest `limit` windows by source |

Those of results take `site_id`, `horizon` and `as_of`. Errors are those of `batcher/api.py`.
"""

import asyncio
from collections.abc import Collection

import msgspec
from aiohttp import web

from batcher.answering import Answering
from batcher.database import Database
from batcher.horizon import HORIZONS
from batcher.insight.catalogue import BatchPage, batch_page, find_batch, window_sources
from batcher.insight.classes import ORDERS, SkuPage, sku_page, summary
from batcher.insight.sku_days import sku_days
from batcher.insight.window_grid import window_grid
from batcher.objections import NotFound
from batcher.queries import Connection
from batcher.replies import json_reply
from batcher.requests import DEFAULT_HORIZON, BadRequest, read_horizon, read_instant, read_limit, read_text
from batcher.runs import Run
from batcher.service import Service
from batcher.workbench import Workbench
from schemas.records import BatchKind
from schemas.reference import canonical_sku
from schemas.sources import Source

PAGE = 100
MOST_ROWS = 10_000  # of one answer
GRID = 48
FASTEST = 25


def add_insight_routes(app: web.Application, api: "InsightApi") -> None:
    """Routes of this module."""
    app.router.add_get("/api/v1/insight/classes", api.classes)
    app.router.add_get("/api/v1/insight/skus", api.skus)
    app.router.add_get("/api/v1/insight/days", api.days)
    app.router.add_get("/api/v1/insight/batches", api.batches)
    app.router.add_get("/api/v1/insight/batch", api.batch)
    app.router.add_get("/api/v1/insight/grid", api.grid)


class InsightApi(Answering[Service, Workbench]):
    """A handler for each route."""

    async def classes(self, request: web.Request) -> web.Response:
        """See `classes.summary`."""
        service, bench = self._asked()
        run, limit, metric = await self._run(request), _limit(request, FASTEST), bench.settings.velocity.class_metric
        return json_reply(await service.read(Database.ask_snapshot, lambda c: summary(c, run, metric, limit)))

    async def skus(self, request: web.Request) -> web.Response:
        """See `classes.sku_page`."""
        page = SkuPage(
            search=canonical_sku(request.query["search"]) if request.query.get("search") else None,
            abc=_choice(request, "abc", "ABC"),
            xyz=_choice(request, "xyz", "XYZ"),
            order=_choice(request, "order", ORDERS) or "velocity",
            descending=_choice(request, "descending", ("true", "false")) != "false",
            limit=_limit(request, PAGE),
            offset=_offset(request),
        )
        run = await self._run(request)
        service, _ = self._asked()
        return json_reply(await service.read(Database.ask_snapshot, lambda c: sku_page(c, run, page)))

    async def days(self, request: web.Request) -> web.Response:
        """See `sku_days.sku_days`."""
        sku, run = canonical_sku(read_text("sku", request.query.get("sku"))), await self._run(request)
        service, bench = self._asked()
        zone, known = bench.windows.zones.zone_of(run.site_id), bench.settings.velocity.require_known_items

        def ask(connection: Connection) -> dict[str, object]:
            return sku_days(connection, run, sku, zone, require_known_items=known)

        return json_reply(await service.read(Database.ask_snapshot, ask))

    async def batches(self, request: web.Request) -> web.Response:
        """See `catalogue.batch_page`."""
        service, _ = self._asked()
        site = await service.site(read_text("site_id", request.query.get("site_id")))
        page = BatchPage(
            site.site_id,
            source=_choice(request, "source", [source.value for source in Source]),
            kind=_choice(request, "kind", [kind.value for kind in BatchKind]),
            search=request.query.get("search") or None,
            limit=_limit(request, PAGE),
            offset=_offset(request),
        )
        return json_reply(await service.read(Database.ask_snapshot, lambda c: batch_page(c, page)))

    async def batch(self, request: web.Request) -> web.Response:
        """See `catalogue.find_batch`."""
        batch_id = read_text("batch_id", request.query.get("batch_id"))
        service, _ = self._asked()
        found = await service.read(Database.ask_snapshot, lambda c: find_batch(c, batch_id))
        if found is None:
            raise NotFound(f"no batch of this worker is called {batch_id}")
        await service.site(found["batch"]["site_id"])
        return json_reply(found)

    async def grid(self, request: web.Request) -> web.Response:
        """See `window_grid.window_grid`."""
        service, _ = self._asked()
        site, limit = await service.site(read_text("site_id", request.query.get("site_id"))), _limit(request, GRID)

        rows = await service.read(Database.ask, lambda c: window_sources(c, site.site_id, limit))
        grid = await asyncio.to_thread(window_grid, site.site_id, rows, service.frontiers(), site.complete, limit)
        return json_reply({"site_id": site.site_id, "rows": [msgspec.to_builtins(row) for row in grid]})

    async def _run(self, request: web.Request) -> Run:
        """
        Raises:
            BadRequest, NotFound, WrongOwner, NotReady: there is no such run here.
        """
        horizon = read_horizon("horizon", request.query.get("horizon", DEFAULT_HORIZON), HORIZONS)
        as_of_ms = read_instant("as_of", request.query.get("as_of"))
        service, _ = self._asked()
        site = await service.site(read_text("site_id", request.query.get("site_id")))
        return await service.run(site, as_of_ms, horizon)


def _choice(request: web.Request, name: str, known: Collection[str]) -> str | None:
    """
    Raises:
        BadRequest: it is none of those.
    """
    text = request.query.get(name) or None
    if text is not None and text not in known:
        raise BadRequest(f"{name}: {text!r} is none of {', '.join(known)}")
    return text


def _limit(request: web.Request, default: int) -> int:
    return min(read_limit(request.query.get("limit"), default), MOST_ROWS)


def _offset(request: web.Request) -> int:
    """
    Raises:
        BadRequest: it is no number.
    """
    text = request.query.get("offset", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"offset: {text!r} is no number from 0 on")
    return int(text)
