"""Receives whoever comes: knows tokens and sessions, begins and ends them, and writes their cookie."""

from datetime import timedelta

from aiohttp import web

from console.web.callers import CALLER, FORM_TOKEN, SESSION, Caller
from console.web.login_pace import LoginPace
from console.web.sessions import Sealer, Session
from runtime.access import Token, by_id
from runtime.door import Door, now_ms
from runtime.settings import milliseconds

_COOKIE_CHANGE = web.RequestKey("_COOKIE_CHANGE", str)


class Reception:
    """Sessions live for `lifetime`; the cookie has the name `cookie`."""

    def __init__(self, door: Door, key: bytes, lifetime: timedelta, cookie: str) -> None:
        self.door, self.pace = door, LoginPace()
        self._sealer, self._lifetime_ms, self._cookie = Sealer(key), milliseconds(lifetime), cookie

    def receive(self, request: web.Request) -> None:
        """Note who calls, if they are let in, and their session, which is begun where a browser has none."""
        if token := self.door.token_of(request.headers):
            request[CALLER] = Caller.of(token)
            return
        session = self._sealer.open(request.cookies.get(self._cookie, ""), now_ms())
        caller = self._caller_of(session) if session else None
        if session is None or (caller is None and session.token_id is not None):
            session = self.begin(request, None)
            caller = self._caller_of(session)
        self._note(request, session)
        if caller is not None:
            request[CALLER] = caller

    def brings_cookie(self, request: web.Request) -> bool:
        """Whether a browser has sent our cookie, valid or not."""
        return self._cookie in request.cookies

    def still_knows(self, request: web.Request) -> bool:
        """Whether a request that has been going on for long would be let in now."""
        if self.door.is_open or self.door.token_of(request.headers):
            return True
        session = self._sealer.open(request.cookies.get(self._cookie, ""), now_ms())
        return session is not None and self._caller_of(session) is not None

    def begin(self, request: web.Request, token: Token | None) -> Session:
        """A new session; its cookie goes out with the answer."""
        ends = now_ms() + self._lifetime_ms
        if token is not None and token.expires_at_ms is not None:
            ends = min(ends, token.expires_at_ms)
        session = Session.begin(token.id if token else None, ends)
        request[_COOKIE_CHANGE] = self._sealer.seal(session)
        self._note(request, session)
        return session

    def end(self, request: web.Request) -> None:
        """End the session of a request."""
        if (session := request.get(SESSION)) is not None:
            self._sealer.end(session, now_ms())
        request[_COOKIE_CHANGE] = ""

    def is_form_token(self, request: web.Request, given: str) -> bool:
        """Whether a form was made for the session that sends it."""
        return self._sealer.is_form_token(request[SESSION], given)

    async def write_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Send the cookie along where it has changed; a signal of every answer.

        As a header: when aiohttp sends this signal, it has written the answer's cookies already.
        """
        value = request.get(_COOKIE_CHANGE)
        if value is None:
            return
        age_s = self._lifetime_ms // 1000 if value else 0
        parts = [f"{self._cookie}={value}", f"Max-Age={age_s}", "Path=/", "HttpOnly", "SameSite=Strict"]
        if request.secure or (self.door.public_url or "").startswith("https:"):
            parts.append("Secure")
        response.headers.add("Set-Cookie", "; ".join(parts))

    def _caller_of(self, session: Session) -> Caller | None:
        if self.door.tokens is None:
            return Caller.anybody()
        token = by_id(self.door.tokens.tokens(), session.token_id, now_ms()) if session.token_id else None
        return Caller.of(token) if token else None

    def _note(self, request: web.Request, session: Session) -> None:
        request[SESSION] = session
        request[FORM_TOKEN] = self._sealer.form_token(session)


RECEPTION = web.AppKey("RECEPTION", Reception)
