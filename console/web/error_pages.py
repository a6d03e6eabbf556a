"""What goes wrong, as pages with a sentence that says what to do; and never a traceback."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from console.client import NotFound
from console.errors import CommandFailed, UsageError
from console.web.masking import masked
from console.web.rendering import NO_STORE, render
from runtime.refusals import Refusal

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TITLES = {
    400: "That makes no sense here",
    401: "Please log in",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed",
    409: "Refused",
    413: "Too large",
    429: "Too many attempts",
    502: "Something that this page needs does not answer",
    503: "Not now",
}


_KEPT_HEADERS = ("Allow", "HX-Redirect", "Retry-After", "WWW-Authenticate")


@web.middleware
async def errors_as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What handlers raise, as pages. What others are asked for may fail at any time: that is 502, and said so."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        page = error_page(request, error.status, error.text or error.reason)
        page.headers.update({name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers})
        if error.status == 413:
            page.force_close()  # what is left of the body is not read
        return page
    except (CommandFailed, Refusal) as error:
        return error_page(request, status_of(error), str(error))
    except Exception:
        log.exception("unexpected failure of a page", path=request.path)
        return error_page(request, 500, "unexpected failure; the console's log has the details")


def status_of(error: CommandFailed | Refusal) -> int:
    """The status that says what an error of the command line's modules is."""
    kinds = {UsageError: 400, NotFound: 404, Refusal: 409}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 502)


def error_page(request: web.Request, status: int, message: str) -> web.Response:
    """A page that says what went wrong, without secrets; JSON where that is asked for."""
    message = masked(message)
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response({"status": status, "message": message}, status=status, headers=NO_STORE)
    title = _TITLES.get(status, "Failed")
    return render(request, "error.html", {"status": status, "title": title, "message": message}, status)
