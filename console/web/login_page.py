"""`/login`, `/logout`, `/who`: a token becomes a session."""

import math
import time
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from console.web.callers import CALLER, caller_of
from console.web.guard import LOGIN, LOGOUT
from console.web.reception import RECEPTION
from console.web.rendering import render
from runtime.access import find
from runtime.door import now_ms

log = structlog.get_logger(__name__)

HOME = "/"


def add_login_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get(LOGIN, show_login)
    app.router.add_post(LOGIN, log_in)
    app.router.add_post(LOGOUT, log_out)
    app.router.add_get("/who", show_caller)


async def show_login(request: web.Request) -> web.Response:
    """The form; who is logged in already goes on."""
    target = local_address(request.query.get("next"))
    if CALLER in request:
        raise web.HTTPSeeOther(target)
    return render(request, "login.html", {"target": target, "trouble": ""})


async def log_in(request: web.Request) -> web.Response:
    """Begin a session with the token of the form.

    Raises:
        HTTPSeeOther: it was right.
        HTTPTooManyRequests: too many attempts were wrong.
    """
    reception, form, remote = request.app[RECEPTION], await request.post(), request.remote or ""
    target = local_address(str(form.get("next", HOME)))
    if wait_s := reception.pace.wait_s(remote, time.monotonic()):
        again = math.ceil(wait_s)
        text = f"too many attempts: the next one is looked at in {again} s"
        raise web.HTTPTooManyRequests(text=text, headers={"Retry-After": str(again)})
    tokens = reception.door.tokens
    token = find(tokens.tokens(), str(form.get("token", "")).strip(), now_ms()) if tokens else None
    if token is None and tokens is not None:
        reception.pace.failed(remote, time.monotonic())
        log.warning("login refused", remote=remote)
        trouble = "That is not a valid token. It may have expired, or been revoked."
        return render(request, "login.html", {"target": target, "trouble": trouble}, status=401)
    reception.pace.succeeded(remote)
    reception.end(request)
    reception.begin(request, token)
    log.info("login", name=token.name if token else "", remote=remote)
    raise web.HTTPSeeOther(target)


async def log_out(request: web.Request) -> web.Response:
    """End the session.

    Raises:
        HTTPSeeOther: always.
    """
    request.app[RECEPTION].end(request)
    raise web.HTTPSeeOther(LOGIN)


async def show_caller(request: web.Request) -> web.Response:
    """Who calls, for programs and for pages that have lost their stream."""
    caller = caller_of(request)
    return web.json_response({"name": caller.name, "role": caller.role})


def local_address(address: str | None) -> str:
    """An address to go on to, if it is one of this server; else that of the start page."""
    text = address or HOME
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    foreign = parts.scheme or parts.netloc or "\\" in text or not text.isprintable() or not text.isascii()
    return HOME if foreign or not text.startswith("/") or text.startswith("//") else text
