"""Sessions of people in a browser: what a signed cookie says, and the token that their forms bring back. Pure.

A session names the token that somebody logged in with and lives no longer than that: the token is looked up at every
request. One without a token belongs to nobody yet; its forms are protected all the same.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Self

import msgspec

LONGEST_COOKIE = 1_000  # characters
MOST_ENDED = 10_000


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session: its own id, the id of the token (none: nobody), and when it ends, in UTC milliseconds."""

    sid: str
    token_id: str | None
    expires_at_ms: int

    @classmethod
    def begin(cls, token_id: str | None, expires_at_ms: int) -> Self:
        """A new one."""
        return cls(sid=secrets.token_urlsafe(16), token_id=token_id, expires_at_ms=expires_at_ms)


@dataclass(slots=True)
class Sealer:
    """Signs sessions with a key that only the console knows, and remembers those that were ended early."""

    key: bytes
    _ended: dict[str, int] = field(default_factory=dict[str, int])

    def seal(self, session: Session) -> str:
        """A session as a cookie's value."""
        said = _text(msgspec.json.encode(session))
        return f"{said}.{self._sign('session', said)}"

    def open(self, cookie: str, now_ms: int) -> Session | None:
        """The session of a cookie; None if it is forged, has expired, or was ended."""
        said, _, signature = cookie.partition(".")
        if len(cookie) > LONGEST_COOKIE or not _same(signature, self._sign("session", said)):
            return None
        try:
            session = msgspec.json.decode(base64.urlsafe_b64decode(f"{said}=="), type=Session)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None
        return session if now_ms < session.expires_at_ms and session.sid not in self._ended else None

    def end(self, session: Session, now_ms: int) -> None:
        """Let a session be over, whoever still has its cookie."""
        self._ended = {sid: until_ms for sid, until_ms in self._ended.items() if until_ms > now_ms}
        if len(self._ended) >= MOST_ENDED:
            self._ended.pop(next(iter(self._ended)))
        self._ended[session.sid] = session.expires_at_ms

    def form_token(self, session: Session) -> str:
        """What a form of this session brings back, and no page of another site can know."""
        return self._sign("form", session.sid)

    def is_form_token(self, session: Session, given: str) -> bool:
        """Whether this is the session's `form_token`."""
        return _same(given, self.form_token(session))

    def _sign(self, what: str, text: str) -> str:
        return _text(hmac.new(self.key, f"{what}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())
