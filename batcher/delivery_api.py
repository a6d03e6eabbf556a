"""The API of deliveries, beside `batcher/api.py`: how sinks stand, and what people ask of them.

| answer | means |
|---|---|
| 400 `bad_request` | there is no such sink; the message says which there are |
| 404 `not_found` | no such chunk has failed, or nothing is published for such a target |
| 409 `closed` | the schedule keeps all that was asked for closed; `now` does not ask it |
"""

import uuid
from collections.abc import Collection

from aiohttp import web

from batcher.answering import Answering
from batcher.delivery.deliveries import Deliveries
from batcher.delivery.sink_desk import Request
from batcher.objections import NotFound, NotReady
from batcher.replies import error_reply, json_reply
from batcher.requests import BadRequest, ChunkRequest, DeliverRequest, DiscardRequest, ResumeRequest, read_body
from batcher.service import Service


def add_delivery_routes(app: web.Application, api: "DeliveryApi") -> None:
    """Routes of this module."""
    app.router.add_get("/api/v1/sinks", api.sinks)
    app.router.add_post("/api/v1/sinks/resume", api.resume)
    app.router.add_post("/api/v1/deliveries", api.deliver)
    app.router.add_post("/api/v1/chunks/retry", api.retry)
    app.router.add_post("/api/v1/chunks/discard", api.discard)


class DeliveryApi(Answering[Service, Deliveries]):
    """A handler for each route; the service knows whose a site is."""

    async def _require_site(self, site_id: str | None) -> None:
        """
        Raises:
            WrongOwner, NotReady, NotFound: the site is not ours, or not ready.
        """
        if site_id is not None:
            await self._asked()[0].site(site_id)

    async def _require_published(self, site_id: str | None) -> None:
        """
        Raises:
            WrongOwner, NotReady, NotFound: what is published of the site, or of one of ours, is not known yet.
        """
        service, deliveries = self._asked()
        sites, _ = await service.chosen(site_id)
        if unknown := sorted({site.site_id for site in sites} - set(deliveries.known_sites())):
            raise NotReady(f"what is published of {', '.join(unknown)} is being looked up")

    @property
    def _deliveries(self) -> Deliveries:
        return self._asked()[1]

    async def sinks(self, _: web.Request) -> web.Response:
        """A row for each sink, site and horizon: see `board.row_of`."""
        return json_reply({"rows": await self._deliveries.rows(), "not_ready": {}})

    async def resume(self, request: web.Request) -> web.Response:
        """Let a stopped sink go on."""
        asked = read_body(await request.read(), ResumeRequest)
        _require_sink(asked.sink, self._deliveries.desks)
        return json_reply({"sink": asked.sink, "was_stopped": await self._deliveries.resume(asked.sink)})

    async def deliver(self, request: web.Request) -> web.Response:
        """Deliver what is due, or everything; `rows` are the targets that are delivered from now on."""
        asked = read_body(await request.read(), DeliverRequest)
        if asked.sink is not None:
            _require_sink(asked.sink, self._deliveries.desks)
        await self._require_published(asked.site_id)
        full = uuid.uuid4().hex if asked.full else None
        taken, closed = await self._deliveries.ask_for(asked.sink, asked.site_id, Request(full, asked.now))
        if closed and not taken:
            names = ", ".join(sorted({f"{target.sink} {target.site_id}" for target in closed}))
            return error_reply(409, "closed", f"the schedule keeps {names} closed now; --now does not ask it")
        if not taken and asked.site_id is not None:
            raise NotFound(f"nothing is published here of site {asked.site_id}, or no sink takes it")
        rows = [{"sink": t.sink, "site_id": t.site_id, "horizon": t.horizon} for t in taken]
        return json_reply({"rows": rows, "closed": [f"{target.sink} {target.site_id}" for target in closed]})

    async def retry(self, request: web.Request) -> web.Response:
        """Try a failed chunk again, under its key."""
        asked = read_body(await request.read(), ChunkRequest)
        await self._require_site(asked.site_id)
        if not await self._deliveries.retry(asked.chunk_id):
            raise NotFound(f"chunk {asked.chunk_id} is not in hand as failed: a later run may have covered its SKUs")
        return json_reply({"chunk_id": asked.chunk_id, "state": "retry"})

    async def discard(self, request: web.Request) -> web.Response:
        """Give a failed chunk up."""
        asked = read_body(await request.read(), DiscardRequest)
        await self._require_site(asked.site_id)
        if not await self._deliveries.discard(asked.chunk_id, asked.reason):
            raise NotFound(f"no chunk {asked.chunk_id} has failed and is not settled")
        return json_reply({"chunk_id": asked.chunk_id, "state": "discarded"})


def _require_sink(name: str, known: Collection[str]) -> None:
    if name not in known:
        there = f"there are {', '.join(sorted(known))}" if known else "none is set: see docs/delivery.md"
        raise BadRequest(f"there is no sink {name!r}; {there}")
