"""`/`: what the console reaches, and where to look."""

from aiohttp import web

from console.web.keys import HEALTH, SETTINGS
from console.web.masking import masked
from console.web.rendering import render


def add_home_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/", show_home)


async def show_home(request: web.Request) -> web.Response:
    """The start page."""
    settings = request.app[SETTINGS]
    reached = {"Kafka": settings.kafka.bootstrap_servers, "Batch API": settings.api.url}
    troubles = request.app[HEALTH].not_ready
    rows = [
        {"what": what, "where": masked(where), "trouble": troubles.get(what.lower().replace(" ", "-"))}
        for what, where in reached.items()
    ]
    return render(request, "home.html", {"reached": rows})
