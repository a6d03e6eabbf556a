"""The door before an API that programs call: who has no right to ask gets no answer."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from runtime.door import OPEN_PATHS, SAFE_METHODS, Door, needed_role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarding(door: Door, reads: frozenset[str] = frozenset()) -> Middleware:
    """Refuses what the door does; `reads` are paths that a viewer may post to."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        require_site(door, request)
        if request.path not in OPEN_PATHS and not door.is_open:
            _require_role(door, request, reads)
        return await handler(request)

    return guard


def require_site(door: Door, request: web.Request) -> None:
    """
    Raises:
        HTTPForbidden: the request was made for another name, or by a page of another site.
    """
    if not door.knows_host(request.host):
        raise web.HTTPForbidden(
            text=f"this server does not answer as {request.host!r}: call it by a loopback address, or set "
            "serve.public_url to the address that people use"
        )
    if request.method not in SAFE_METHODS and not door.is_of_this_site(request.headers):
        raise web.HTTPForbidden(text="this request comes from a page of another site")


def _require_role(door: Door, request: web.Request, reads: frozenset[str]) -> None:
    token = door.token_of(request.headers)
    if token is None:
        raise web.HTTPUnauthorized(
            text="a valid token is needed: send `Authorization: Bearer TOKEN`; our commands take it from serve.token "
            "(VELOCITY_SERVE__TOKEN)",
            headers={"WWW-Authenticate": 'Bearer realm="velocity"'},
        )
    wanted = needed_role(request.method, request.path, reads)
    if not token.role.allows(wanted):
        raise web.HTTPForbidden(text=f"token {token.name!r} is a {token.role}'s; this needs the role {wanted}")
