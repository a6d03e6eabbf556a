"""The web console as an application: its pages, and what stands before and around them."""

from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web

from console.web.audit_page import add_audit_routes
from console.web.batches_page import add_batches_routes
from console.web.error_pages import errors_as_pages
from console.web.flow_page import add_flow_routes
from console.web.guard import guarding_pages
from console.web.headers import add_headers
from console.web.home_page import add_home_routes
from console.web.keys import HEALTH, HTTP, SETTINGS
from console.web.letters.routes import add_letters_routes
from console.web.live import add_live
from console.web.login_page import add_login_routes
from console.web.readings import add_readings
from console.web.reception import RECEPTION, Reception
from console.web.rendering import add_rendering
from console.web.runs_page import add_runs_routes
from console.web.session_key import session_key
from console.web.static_files import add_static_routes
from console.web.velocity_page import add_velocity_routes
from runtime.door import Door
from runtime.health import Health, add_health_routes
from runtime.settings import Settings

LONGEST_BODY = 1 << 20  # bytes of a request

#: What adds the routes of each page.
PAGES: tuple[Callable[[web.Application], None], ...] = (
    add_login_routes,
    add_home_routes,
    add_flow_routes,
    add_batches_routes,
    add_velocity_routes,
    add_runs_routes,
    add_letters_routes,
    add_audit_routes,
)


def build_app(settings: Settings, health: Health | None = None) -> web.Application:
    """The console. `health` hears of what it cannot reach.

    Raises:
        AccessRefused: it would let anybody in from elsewhere, or its tokens cannot be read.
        SettingsRefused: its session key cannot be kept.
    """
    reception = open_reception(settings)
    guards = [errors_as_pages, guarding_pages(reception, LONGEST_BODY)]
    app = web.Application(middlewares=guards, client_max_size=LONGEST_BODY)
    app[SETTINGS], app[HEALTH], app[RECEPTION] = settings, health or Health(), reception
    app.on_response_prepare.extend([add_headers, reception.write_cookie])
    add_static_routes(app)
    add_rendering(app)
    add_live(app)
    add_health_routes(app, app[HEALTH])
    app.cleanup_ctx.append(_http_client)
    add_readings(app)
    for add_routes in PAGES:
        add_routes(app)
    return app


def open_reception(settings: Settings) -> Reception:
    """Who receives callers, by the settings.

    Raises:
        AccessRefused, SettingsRefused: see `build_app`.
    """
    serve = settings.serve
    door = Door.of(serve, serve.host, "the console of serve.host")
    cookie = f"velocity-session-{serve.port}"  # cookies know no ports: two consoles of one host would share it
    return Reception(door, session_key(settings.state_dir), serve.session, cookie)


async def _http_client(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30, connect=5)) as session:
        app[HTTP] = session
        yield
