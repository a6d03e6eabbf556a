"""The batch worker's HTTP API. A worker answers for the sites that it owns and is ready for.

| answer | means |
|---|---|
| 400 `bad_request` | the request is wrong; the message says what |
| 401 `unauthorized` | `serve.tokens_file` is set, and the request has no valid `Authorization: Bearer` |
| 403 `forbidden` | the token's role may not do that, or a page of another site asks |
| 404 `not_found` | no such site, or no calculation of that instant |
| 409 `incomplete` | the instant is not complete; `sites` say why |
| 413 | the body is larger than `MAX_BODY_BYTES` |
| 421 `wrong_owner` | `owner` is the address of the worker that owns the site |
| 429 `busy` | too many computations wait; `Retry-After` says for how long |
| 503 `not_ready` | the worker is catching up, or the site is held; the message says why |
| 503 `too_late` | a computation has passed its deadline and was ended; `Retry-After` says when to try again |

Lists have `rows`, tables have `columns`; `not_ready` names sites of this worker that are left out, and why. A client
that asks for `application/vnd.apache.arrow.stream` gets a table as an Arrow stream, whose schema's metadata has
`not_ready` as JSON. The header `Velocity-Partitions` names the partitions of the batches topic whose sites an answer is
about if no site was asked for; it is missing where a rebalance came between.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
from aiohttp import web
from aiohttp.typedefs import Middleware

from batcher import metrics
from batcher.answering import Answering
from batcher.compute_chunks import PATH as COMPUTE_PATH
from batcher.computing import ComputeDesk
from batcher.database import Database
from batcher.explanation import Explanation
from batcher.horizon import HORIZONS
from batcher.insight.catalogue import window_sources
from batcher.objections import NotFound
from batcher.reading import UNLOADABLE
from batcher.replies import Handler, errors_as_json, json_reply, table_reply
from batcher.requests import (
    DEFAULT_HORIZON,
    ComputeRequest,
    RecalcRequest,
    read_body,
    read_horizon,
    read_instant,
    read_limit,
    read_text,
)
from batcher.runs import described
from batcher.service import Service
from batcher.sites import Site
from batcher.window_list import WindowRow, list_windows
from schemas.instants import rfc3339
from schemas.reference import canonical_sku

PARTITIONS_HEADER = "Velocity-Partitions"
MAX_BODY_BYTES = 6 << 20  # MAX_SKUS of MAX_SKU_LENGTH fit
MANY = 10_000
READS = frozenset({COMPUTE_PATH})  # what is posted and changes nothing


def build_app(api: "Api", guard: Middleware | None = None) -> web.Application:
    """The application, without health routes; `guard` says who may ask."""
    middlewares = [naming_partitions(api), errors_as_json, *([guard] if guard else [])]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    app.router.add_post(COMPUTE_PATH, api.compute)
    app.router.add_post("/api/v1/recalc", api.recalc)
    app.router.add_get("/api/v1/owners", api.owners)
    app.router.add_get("/api/v1/sites", api.sites)
    app.router.add_get("/api/v1/coefficients", api.coefficients)
    app.router.add_get("/api/v1/explain", api.explain)
    app.router.add_get("/api/v1/runs", api.runs)
    app.router.add_get("/api/v1/windows", api.windows)
    app.router.add_get("/api/v1/batches", api.batches)
    app.router.add_get("/api/v1/facts/held", api.held)
    app.router.add_get("/api/v1/conflicts", api.conflicts)
    return app


def naming_partitions(api: "Api") -> Middleware:
    """Lets every answer say which partitions it is about: who asks all workers sees whether one is missing."""

    @web.middleware
    async def name_partitions(request: web.Request, handler: Handler) -> web.StreamResponse:
        before = api.assignment
        answer = await handler(request)
        if before == api.assignment:
            answer.headers[PARTITIONS_HEADER] = ",".join(map(str, sorted(before)))
        return answer

    return name_partitions


class Api(Answering[Service, ComputeDesk]):
    """A handler for each route."""

    @property
    def assignment(self) -> frozenset[int]:
        """The partitions whose sites answers are about."""
        return self._parts[0].assignment if self._parts else frozenset()

    @property
    def _service(self) -> Service:
        return self._asked()[0]

    # -- results -------------------------------------------------------------------------------------------------------

    async def compute(self, request: web.Request) -> web.Response:
        """A result for each SKU, in the order of the request; it is looked up in the canonical form."""
        with metrics.COMPUTE_SECONDS.time():
            asked = read_body(await request.read(), ComputeRequest)
            horizon = read_horizon("window", asked.window, HORIZONS)
            as_of_ms = read_instant("as_of", asked.as_of)
            service, desk = self._asked()
            site = await service.site(asked.site_id or await service.only_site())
            run, results = await desk.compute(site, as_of_ms, horizon, asked.skus)
            return json_reply({**described(run), "results": msgspec.Raw(f"[{results}]".encode())})

    async def coefficients(self, request: web.Request) -> web.Response:
        """All results of an instant, or the newest ones."""
        horizon = read_horizon("horizon", request.query.get("horizon", DEFAULT_HORIZON), HORIZONS)
        as_of_ms = read_instant("as_of", request.query.get("as_of"))
        site_id = request.query.get("site_id")
        sites, not_ready = await self._service.chosen(site_id)
        tables: list[pa.Table] = []
        for site in sites:
            try:
                tables.append(await self._service.coefficients(await self._service.run(site, as_of_ms, horizon)))
            except NotFound as error:
                if site_id is not None:
                    raise
                not_ready[site.site_id] = str(error)
        return await asyncio.to_thread(
            table_reply, request, pa.concat_tables(tables) if tables else pa.table({}), not_ready
        )

    async def explain(self, request: web.Request) -> web.Response:
        """What the coefficient of a SKU is made of, at every site that has one."""
        horizon = read_horizon("horizon", request.query.get("horizon", DEFAULT_HORIZON), HORIZONS)
        as_of_ms, site_id = read_instant("as_of", request.query.get("as_of")), request.query.get("site_id")
        sku = canonical_sku(read_text("sku", request.query.get("sku")))
        sites, not_ready = await self._service.chosen(site_id)
        rows: list[Explanation] = []
        for site in sites:
            try:
                rows.append(await self._service.explain(site, as_of_ms, horizon, sku))
            except NotFound:
                if site_id is not None:
                    raise
        if not rows and not not_ready:
            raise NotFound(f"no site of this worker has a coefficient for {sku}")
        return json_reply({"rows": rows, "not_ready": not_ready})

    async def recalc(self, request: web.Request) -> web.Response:
        """One calculation of each site; the same again changes nothing."""
        asked = read_body(await request.read(), RecalcRequest)
        horizon = read_horizon("horizon", asked.horizon, HORIZONS)
        as_of_ms = read_instant("as_of", asked.as_of) or 0
        runs = await self._service.recalculate(asked.site_id, as_of_ms, horizon, partial=asked.partial)
        return json_reply({"runs": [described(run) for run in runs]})

    async def runs(self, request: web.Request) -> web.Response:
        """Calculations, the latest first."""
        limit = read_limit(request.query.get("limit"), MANY)
        sites, not_ready = await self._service.chosen(request.query.get("site_id"))
        found = [run for site in sites for run in await self._service.read(Database.runs, site.site_id, limit)]
        found.sort(key=lambda run: run.calculated_at_ms, reverse=True)
        return json_reply({"rows": [described(run) for run in found[:limit]], "not_ready": not_ready})

    # -- who and what --------------------------------------------------------------------------------------------------

    async def owners(self, _: web.Request) -> web.Response:
        """The workers of the group and their partitions of the batches topic; a site's partition is that of its key."""
        members = await self._service.members()
        owned = {partition for member in members for partition in member.partitions}
        return json_reply(
            {
                "topic": self._service.batches_topic,
                "partitions": self._service.partitions,
                "owners": [
                    {"url": member.url, "worker_id": member.worker_id, "partitions": member.partitions}
                    for member in members
                ],
                "unowned": sorted(set(range(self._service.partitions)) - owned),
            }
        )

    async def sites(self, _: web.Request) -> web.Response:
        """The sites of this worker and up to when they are complete."""
        sites, not_ready = self._service.sites()
        return json_reply({"rows": [_describe_site(site) for site in sites], "not_ready": not_ready})

    async def windows(self, request: web.Request) -> web.Response:
        """Windows that have or had events, the latest first."""
        limit = read_limit(request.query.get("limit"), MANY)
        sites, not_ready = await self._service.chosen(request.query.get("site_id"))
        found = [row for site in sites for row in await self._windows(site, limit)]
        found.sort(key=lambda row: row.start, reverse=True)
        return json_reply({"rows": found[:limit], "not_ready": not_ready})

    async def _windows(self, site: Site, limit: int) -> list[WindowRow]:
        rows = await self._service.read(Database.ask, lambda c: window_sources(c, site.site_id, limit))
        frontiers = self._service.frontiers()
        return await asyncio.to_thread(list_windows, site.site_id, rows, frontiers, site.complete)

    async def batches(self, request: web.Request) -> web.Response:
        """The catalogue, in the order of announcement per site; with `batch_id`, that batch."""
        batch_id = request.query.get("batch_id")
        return await self._table(request, lambda database, site, limit: database.batches(site, limit, batch_id))

    async def held(self, request: web.Request) -> web.Response:
        """Facts that wait for reference data."""
        return await self._table(request, Database.held)

    async def conflicts(self, request: web.Request) -> web.Response:
        """Bodies that do not count beside the one that does."""
        return await self._table(request, Database.conflicts)

    async def _table(self, request: web.Request, read: Callable[[Database, str, int], pa.Table]) -> web.Response:
        limit = read_limit(request.query.get("limit"), MANY)
        sites, not_ready = await self._service.chosen(request.query.get("site_id"))
        tables: list[pa.Table] = []
        for site in sites:
            try:
                tables.append(await self._service.read(read, site.site_id, limit))
            except UNLOADABLE as error:  # of a batch file that says what facts leave out
                not_ready[site.site_id] = str(error)
        table = pa.concat_tables(tables).slice(0, limit) if tables else pa.table({})
        return await asyncio.to_thread(table_reply, request, table, not_ready)


def _describe_site(site: Site) -> dict[str, Any]:
    return {
        "site_id": site.site_id,
        "partition": site.partition,
        "first_fact": rfc3339(site.first_fact_ms),
        "complete_until": None if site.complete is None else rfc3339(site.complete.end),
    }
