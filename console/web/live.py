"""Parts of pages that renew themselves: server-sent events of named pieces of HTML.

A feed says what its parts look like now; those that changed are sent to whoever looks. A listener that is slow gets
the newest of each part when it is ready, never a queue of old ones. A page that comes back after the server was
restarted gets all parts anew.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from aiohttp_sse import sse_response

from console.web.reception import RECEPTION

log = structlog.get_logger(__name__)

Parts = Mapping[str, str]  # HTML by the name of the element's `data-live-part`
Produce = Callable[[web.Application, Mapping[str, str]], Awaitable[Parts]]

HEARTBEAT_S = 15.0
RETRY_MS = 1_000  # until a browser that was cut off comes back
MOST_LISTENERS = 200  # of all feeds of an application


class TooManyListeners(web.HTTPServiceUnavailable):
    """So many pages are open that another stream would cost the others theirs."""


class _Listener:
    """What one page has yet to be sent: at most one piece of HTML of each part."""

    def __init__(self, parts: Parts) -> None:
        self._pending = dict(parts)
        self._ended = False
        self._news = asyncio.Event()
        if parts:
            self._news.set()

    def hear(self, parts: Parts) -> None:
        self._pending.update(parts)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def next(self) -> Parts | None:
        """What has changed, once something has; None when it is time to end."""
        await self._news.wait()
        if self._ended:
            return None
        self._news.clear()
        pending, self._pending = self._pending, {}
        return pending


class _Feed:
    """The parts of one address, produced while anybody listens."""

    def __init__(self, produce: Callable[[], Awaitable[Parts]], every_s: float) -> None:
        self.listeners: set[_Listener] = set()
        self._produce, self._every_s = produce, every_s
        self._parts: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> _Listener:
        listener = _Listener(self._parts)
        self.listeners.add(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="live feed")
        return listener

    async def close(self, listener: _Listener) -> None:
        self.listeners.discard(listener)
        if not self.listeners and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            try:
                parts = await self._produce()
            except Exception:  # the page keeps what it shows; the next turn may heal it
                log.exception("a live part of a page cannot be produced")
            else:
                self._tell({name: html for name, html in parts.items() if self._parts.get(name) != html})
            await asyncio.sleep(self._every_s)

    def _tell(self, changed: Parts) -> None:
        self._parts.update(changed)
        if changed:
            for listener in self.listeners:
                listener.hear(changed)


class LiveFeeds:
    """All feeds of an application, by address; and the streams that are open, to end them at once on a stop."""

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}
        self._listeners: set[_Listener] = set()
        self._boot = secrets.token_hex(4)  # so that ids of two lives of the server differ
        self._sent = 0

    def feed(self, address: str, produce: Callable[[], Awaitable[Parts]], every_s: float) -> _Feed:
        """The feed of an address, made if there is none.

        Raises:
            TooManyListeners: there are as many as can be.
        """
        if len(self._listeners) >= MOST_LISTENERS:
            raise TooManyListeners(text=f"{MOST_LISTENERS} pages are being kept up to date already; close some")
        return self._feeds.setdefault(address, _Feed(produce, every_s))

    async def stream(self, request: web.Request, address: str, feed: _Feed) -> web.StreamResponse:
        """Send a feed until the page is closed, its caller is let in no longer, or the server stops."""
        listener = feed.open()
        self._listeners.add(listener)
        try:
            return await self._send(request, listener)
        finally:
            self._listeners.discard(listener)
            await feed.close(listener)
            if not feed.listeners:
                self._feeds.pop(address, None)

    async def _send(self, request: web.Request, listener: _Listener) -> web.StreamResponse:
        async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
            await response.send("", event="hello", id=self._next_id(), retry=RETRY_MS)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while response.is_connected() and (parts := await listener.next()) is not None:
                    if not request.app[RECEPTION].still_knows(request):
                        break  # its token was revoked meanwhile, or somebody has logged out
                    for name, html in parts.items():
                        await response.send(html, event=name, id=self._next_id())
        return response

    def _next_id(self) -> str:
        self._sent += 1
        return f"{self._boot}-{self._sent}"

    async def stop(self, _: web.Application) -> None:
        """End every stream: pages come back by themselves."""
        for listener in self._listeners:
            listener.end()


LIVE = web.AppKey("LIVE", LiveFeeds)


def add_live(app: web.Application) -> None:
    """What `add_live_feed` rests on."""
    app[LIVE] = LiveFeeds()
    app.on_shutdown.append(app[LIVE].stop)


def add_live_feed(app: web.Application, path: str, produce: Produce, every_s: float = 2.0) -> None:
    """A stream at `path` of what `produce(app, parameters of the address)` returns, asked every so many seconds while
    somebody looks. In the page, an element with `data-live="PATH"` holds elements with `data-live-part="NAME"`."""

    async def serve(request: web.Request) -> web.StreamResponse:
        params = dict(sorted(request.query.items()))
        address = f"{path}?{params}"
        live = request.app[LIVE]
        feed = live.feed(address, lambda: produce(request.app, params), every_s)
        return await live.stream(request, address, feed)

    app.router.add_get(path, serve)
