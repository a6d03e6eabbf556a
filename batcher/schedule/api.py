"""The schedule over HTTP.

`GET /api/v1/schedule` tells of each site when it is open, why not, and what became of its nights. `POST
/api/v1/schedule/run` makes the job of the present night; `{"site_id": …, "now": true}` also outside of off-peak hours.
"""

from typing import Any

import msgspec
from aiohttp import web

from batcher.answering import Answering
from batcher.replies import json_reply
from batcher.requests import read_body, read_limit
from batcher.schedule.nightly import Nightly, instant
from batcher.schedule.nights import Night
from batcher.service import Service

DEFAULT_NIGHTS = 14


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/schedule/run`. Without a site, all sites of the worker."""

    site_id: str | None = None
    now: bool = False


def add_schedule_routes(app: web.Application, api: "ScheduleApi") -> None:
    """Add the routes of the schedule to the worker's application."""
    app.router.add_get("/api/v1/schedule", api.show)
    app.router.add_post("/api/v1/schedule/run", api.run)


class ScheduleApi(Answering[Service, Nightly]):
    """A handler for each route."""

    async def show(self, request: web.Request) -> web.Response:
        """Each site: whether it is open, until when, and its last nights, the newest first."""
        service, nightly = self._asked()
        limit = read_limit(request.query.get("nights"), DEFAULT_NIGHTS)
        sites, not_ready = await service.chosen(request.query.get("site_id"))
        rows = [{**nightly.standing(site.site_id), "nights": _nights(nightly, site.site_id, limit)} for site in sites]
        return json_reply({"rows": rows, "not_ready": not_ready})

    async def run(self, request: web.Request) -> web.Response:
        """Make the job of the present night of a site or of all."""
        service, nightly = self._asked()
        asked = read_body(await request.read(), RunRequest)
        sites, not_ready = await service.chosen(asked.site_id)
        rows = [await nightly.request(site, outside=asked.now) for site in sites]
        return json_reply({"rows": rows, "not_ready": not_ready})


def _nights(nightly: Nightly, site_id: str, limit: int) -> list[dict[str, Any]]:
    nights = sorted(nightly.books.of(site_id).values(), key=lambda entry: entry.night, reverse=True)
    return [_describe(entry) for entry in nights[:limit]]


def _describe(entry: Night) -> dict[str, Any]:
    return {
        "night": entry.night,
        "state": entry.state,
        "started_at": instant(entry.started_at_ms),
        "finished_at": instant(entry.finished_at_ms),
        "why": entry.why,
    }
