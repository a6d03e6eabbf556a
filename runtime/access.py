"""Who may do what: tokens and their roles. Pure, but for the system's source of randomness.

A token is 256 random bits, so its SHA-256 is all that needs to be kept: nobody finds one by trying.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from enum import StrEnum

import msgspec

PREFIX = "velocity_"  # so that people, and scanners for leaked secrets, know one when they see it
LONGEST = 200  # characters of what is looked up


class Role(StrEnum):
    """What a token is for: a viewer reads, an operator acts as well."""

    VIEWER = "viewer"
    OPERATOR = "operator"

    def allows(self, wanted: "Role") -> bool:
        """Whether this role may do what needs the `wanted` one."""
        return self is Role.OPERATOR or wanted is Role.VIEWER


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a token. `id` names it without telling it; times are UTC milliseconds."""

    id: str
    name: str
    role: Role
    sha256: str
    created_at_ms: int
    expires_at_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Whether it has not expired."""
        return self.expires_at_ms is None or now_ms < self.expires_at_ms


def new_secret() -> str:
    """A token as its owner keeps it."""
    return PREFIX + secrets.token_urlsafe(32)


def new_token(name: str, role: Role, secret: str, now_ms: int, expires_at_ms: int | None = None) -> Token:
    """What is kept of a new token."""
    return Token(
        id=secrets.token_hex(8),
        name=name,
        role=role,
        sha256=digest(secret),
        created_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )


def digest(secret: str) -> str:
    """SHA-256 of a token, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def find(tokens: Iterable[Token], secret: str, now_ms: int) -> Token | None:
    """The valid token that this is. How long it takes says nothing about how much of it is right."""
    if len(secret) > LONGEST:
        return None
    asked, found = digest(secret), None
    for token in tokens:
        if hmac.compare_digest(token.sha256, asked) and token.is_valid(now_ms):
            found = token
    return found


def by_id(tokens: Iterable[Token], token_id: str, now_ms: int) -> Token | None:
    """The valid token of an id."""
    return next((token for token in tokens if token.id == token_id and token.is_valid(now_ms)), None)
