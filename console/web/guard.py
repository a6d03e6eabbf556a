"""What stands before every page: size, site, who calls, what they may do, and whether their form is ours."""

from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Middleware

from console.web.callers import CALLER, SESSION
from console.web.reception import Reception
from console.web.rendering import render
from console.web.static_files import PREFIX
from runtime.door import OPEN_PATHS, SAFE_METHODS, needed_role
from runtime.guarding import Handler, require_site

LOGIN, LOGOUT = "/login", "/logout"
FORM_FIELD, FORM_HEADER = "csrf", "X-CSRF-Token"
_OWN_AFFAIRS = frozenset({LOGIN, LOGOUT})  # what a viewer may post
_FORM = "application/x-www-form-urlencoded"


def guarding_pages(reception: Reception, longest_body: int) -> Middleware:
    """Refuses what the reception does not know, and bodies longer than so many bytes."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        require_site(reception.door, request)
        if (request.content_length or 0) > longest_body:
            raise web.HTTPRequestEntityTooLarge(max_size=longest_body, actual_size=request.content_length or 0)
        if request.path in OPEN_PATHS or request.path.startswith(PREFIX):
            return await handler(request)
        if _comes_from_elsewhere(request) and not reception.brings_cookie(request):
            return render(request, "again.html")
        reception.receive(request)
        await _require_own_form(reception, request)
        _require_caller(request)
        return await handler(request)

    return guard


def _comes_from_elsewhere(request: web.Request) -> bool:
    """Whether a link of another site led here: then a browser keeps our cookie back, and sends it the next time."""
    headers = request.headers
    return headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and headers.get("Sec-Fetch-Dest") == "document"


async def _require_own_form(reception: Reception, request: web.Request) -> None:
    """
    Raises:
        HTTPForbidden: a browser would change something by a form that was not made for its session.
    """
    if request.method in SAFE_METHODS or SESSION not in request:
        return
    given = request.headers.get(FORM_HEADER)
    if given is None and request.content_type == _FORM:
        field = (await request.post()).get(FORM_FIELD)
        given = field if isinstance(field, str) else None
    if given is None or not reception.is_form_token(request, given):
        raise web.HTTPForbidden(text="this form is not of your session, or the session has ended: load the page again")


def _require_caller(request: web.Request) -> None:
    """
    Raises:
        HTTPSeeOther, HTTPUnauthorized: nobody is let in who has not logged in.
        HTTPForbidden: the caller's role may not do that.
    """
    caller, wanted = request.get(CALLER), needed_role(request.method, request.path, _OWN_AFFAIRS)
    if caller is None and request.path not in _OWN_AFFAIRS:
        raise _to_login(request)
    if caller is not None and not caller.role.allows(wanted):
        raise web.HTTPForbidden(text=f"{caller.name} is a {caller.role}; this needs the role {wanted}")


def _to_login(request: web.Request) -> web.HTTPException:
    if request.method not in SAFE_METHODS:
        return _unauthorized(LOGIN)
    where = f"{LOGIN}?next={quote(request.path_qs, safe='')}"
    wants_page = "text/html" in request.headers.get("Accept", "") and "HX-Request" not in request.headers
    return web.HTTPSeeOther(where) if wants_page else _unauthorized(where)


def _unauthorized(where: str) -> web.HTTPException:
    headers = {"WWW-Authenticate": 'Bearer realm="velocity"', "HX-Redirect": where}
    return web.HTTPUnauthorized(text="log in, or send a valid token", headers=headers)
