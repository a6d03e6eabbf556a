"""Replies of the API: JSON, Arrow, and errors as JSON."""

import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pyarrow as pa
import structlog
from aiohttp import web

from batcher.objections import Ambiguous, Busy, Incomplete, NotFound, NotReady, TooLate, WrongOwner
from batcher.requests import BadRequest

log = structlog.get_logger(__name__)

ARROW_STREAM = "application/vnd.apache.arrow.stream"
_ENCODER = msgspec.json.Encoder(decimal_format="number")

_KEPT_HEADERS = ("Allow", "WWW-Authenticate")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_reply(body: Any, status: int = 200) -> web.Response:
    """A body as JSON; decimals are numbers."""
    return web.Response(body=_ENCODER.encode(body), status=status, content_type="application/json")


def table_reply(request: web.Request, table: pa.Table, not_ready: Mapping[str, str]) -> web.Response:
    """A table, and why sites are left out of it: its columns as JSON, or, if the client asks for it, an Arrow stream
    with the sites in its schema's metadata."""
    if ARROW_STREAM not in request.headers.get("Accept", ""):
        return json_reply({"columns": table.to_pydict(), "not_ready": not_ready})
    said = table.replace_schema_metadata({"not_ready": _ENCODER.encode(not_ready)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, said.schema) as writer:
        writer.write_table(said)
    return web.Response(body=sink.getvalue(), content_type=ARROW_STREAM)


def error_reply(status: int, error: str, message: str, **more: Any) -> web.Response:
    """An error: a word for programs, a sentence for people."""
    return json_reply({"error": error, "message": message, **more}, status)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What handlers raise, as replies."""
    try:
        return await handler(request)
    except (BadRequest, Ambiguous) as error:
        return error_reply(400, "bad_request", str(error))
    except NotFound as error:
        return error_reply(404, "not_found", str(error))
    except Incomplete as error:
        return error_reply(409, "incomplete", str(error), sites=error.sites)
    except WrongOwner as error:
        return error_reply(421, "wrong_owner", str(error), owner=error.owner)
    except Busy as error:
        return _later(error_reply(429, "busy", str(error)), error.retry_after_s)
    except TooLate as error:
        return _later(error_reply(503, "too_late", str(error)), error.retry_after_s)
    except NotReady as error:
        return error_reply(503, "not_ready", str(error))
    except web.HTTPException as error:
        reply = error_reply(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
        reply.headers.update({name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers})
        return reply
    except Exception:
        log.exception("unexpected failure of a request", path=request.path)
        return error_reply(500, "internal", "unexpected failure; the worker's log has the details")


def _later(reply: web.Response, retry_after_s: int) -> web.Response:
    reply.headers["Retry-After"] = str(retry_after_s)
    return reply
