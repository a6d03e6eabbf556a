"""Static files, held in memory: a path from a request is a key of a table here, and never reaches the file system."""

import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

PREFIX = "/static/"
FOR_EVER = "public, max-age=31536000, immutable"  # of an address that names the content
ASK_AGAIN = "no-cache"
_SHOWN = (".css", ".js", ".svg")  # licences and lists lie beside them, and are not served


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file's content, and the beginning of its SHA-256 in hex."""

    content: bytes
    content_type: str
    digest: str


def load_static_files() -> "StaticFiles":
    """All files below `console/web/static`. Blocks for a moment."""
    found = dict[str, StaticFile]()
    _collect(files("console.web") / "static", "", found)
    return StaticFiles(found)


def _collect(folder: Traversable, path: str, found: dict[str, StaticFile]) -> None:
    for entry in folder.iterdir():
        name = path + entry.name
        if entry.is_dir():
            _collect(entry, f"{name}/", found)
        elif name.endswith(_SHOWN):
            content = entry.read_bytes()
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            found[name] = StaticFile(content, kind, hashlib.sha256(content).hexdigest()[:16])


class StaticFiles:
    """The files by their path below `/static/`."""

    def __init__(self, found: dict[str, StaticFile]) -> None:
        self._files = found

    def url(self, name: str) -> str:
        """The address of a file, which changes with its content.

        Raises:
            KeyError: there is no such file.
        """
        return f"{PREFIX}{name}?v={self._files[name].digest}"

    async def serve(self, request: web.Request) -> web.Response:
        """A file: to be kept for ever under the address that `url` gives, to be asked for again under another.

        Raises:
            HTTPNotFound: there is no such file.
        """
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(text="there is no such file")
        tag = f'"{file.digest}"'
        lasting = request.query.get("v") == file.digest
        headers = {"Cache-Control": FOR_EVER if lasting else ASK_AGAIN, "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, content_type=file.content_type, headers=headers)


STATIC = web.AppKey("STATIC", StaticFiles)


def add_static_routes(app: web.Application) -> None:
    """`/static/…`."""
    app[STATIC] = load_static_files()
    app.router.add_get(PREFIX + "{name:.+}", app[STATIC].serve)
