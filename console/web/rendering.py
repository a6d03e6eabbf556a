"""Pages from templates. Everything that is shown is escaped; what a template may do with it stands here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from console.screen import cell_text
from console.web.callers import CALLER, FORM_TOKEN, SESSION
from console.web.csv_export import csv_text
from console.web.masking import masked
from console.web.navigation import Place, places_of
from console.web.static_files import STATIC
from console.web.tables import Table

NO_STORE = {"Cache-Control": "no-store"}
PLACES = web.AppKey("PLACES", list[Place])


def add_rendering(app: web.Application) -> None:
    """Templates of `console/web/templates`; call it after the static files were added."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("console.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "instant": instant, "masked": masked}
    environment.globals["static"] = app[STATIC].url
    app.on_startup.append(_find_places)


async def _find_places(app: web.Application) -> None:
    app[PLACES] = places_of(app)


def render(
    request: web.Request, template: str, context: Mapping[str, Any] | None = None, status: int = 200
) -> web.Response:
    """A page. `request`, `places`, `here`, `caller` (None: not logged in) and `csrf`, which forms bring back in a field
    of that name, are there beside what the `context` holds.

    Raises:
        jinja2.UndefinedError: the template uses what is not there.
    """
    here = next((place for place in request.app[PLACES] if place.holds(request.path)), None)
    caller, session = request.get(CALLER), request.get(SESSION)
    shell = {
        "request": request,
        "places": request.app[PLACES] if caller else [],
        "here": here,
        "caller": caller,
        "csrf": request.get(FORM_TOKEN, ""),
        "can_log_out": session is not None and session.token_id is not None,
    }
    text = fragment(request.app, template, {**shell, **(context or {})})
    return web.Response(text=text, content_type="text/html", status=status, headers=NO_STORE)


def fragment(app: web.Application, template: str, context: Mapping[str, Any]) -> str:
    """A part of a page as HTML, such as one that is sent while it changes. It may not use `request`."""
    return sendable(aiohttp_jinja2.get_env(app).get_template(template).render(context))


def sendable(text: str) -> str:
    """A text without the halves of characters that JSON can spell (`"\\ud800"`) and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def csv_file(table: Table, name: str) -> web.Response:
    """Every row of a table that its filter lets through, as a file to keep; `name` is not of the request."""
    keys = [column.key for column in table.columns]
    text = sendable(csv_text(keys, ([row.get(key) for key in keys] for row in table.found)))
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(text=text, content_type="text/csv", charset="utf-8", headers=headers)


def cell(value: Any) -> str:
    """A value as tables show it: whole numbers in groups of three digits, nothing for None."""
    return cell_text(value)


def instant(at_ms: int | None) -> str:
    """An instant in milliseconds as people read it, in UTC, to the second."""
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") + "Z"
