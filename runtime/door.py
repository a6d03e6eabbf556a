"""The door of a server of ours: whether it may listen where it should, and whether a request may come in.

| a server that listens | without `serve.tokens_file` | with it |
|---|---|---|
| on the loopback | is open: whoever reaches it is an operator | wants a token |
| anywhere else | does not start | wants a token |

What browsers send on behalf of other sites is refused everywhere: by the name that the request is for (DNS rebinding),
and, where it would change something, by where it comes from.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from runtime.access import Role, Token, find
from runtime.refusals import AccessRefused, SettingsRefused
from runtime.settings import ServeSettings
from runtime.token_file import TokenFile

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})  # of whoever watches a worker
_BEARER = "bearer "


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by a name or address that no other can reach."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Door:
    """Judges requests to a server that listens at `host`. Without `tokens` it is open."""

    host: str
    tokens: TokenFile | None = None
    public_url: str | None = None

    @classmethod
    def of(cls, serve: ServeSettings, host: str, what: str) -> "Door":
        """The door of a server, by the settings.

        Raises:
            AccessRefused: it would let anybody in from elsewhere, or its tokens cannot be read.
        """
        if serve.tokens_file is not None:
            tokens = TokenFile(serve.tokens_file)
            tokens.require()
            return cls(host, tokens, serve.public_url)
        if not is_loopback(host):
            raise AccessRefused(
                f"{what} would listen at {host}, which others can reach, and nobody would be asked who they are: "
                "name a file in serve.tokens_file (VELOCITY_SERVE__TOKENS_FILE) and make a token with "
                "`velocity token create --name NAME --role operator`, or listen on 127.0.0.1"
            )
        return cls(host, None, serve.public_url)

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are."""
        return self.tokens is None

    def token_of(self, headers: Mapping[str, str]) -> Token | None:
        """The valid token that a request brings in `Authorization`."""
        given = headers.get("Authorization", "")
        if self.tokens is None or not given.lower().startswith(_BEARER):
            return None
        return find(self.tokens.tokens(), given[len(_BEARER) :].strip(), now_ms())

    def knows_host(self, host: str) -> bool:
        """Whether the `Host` of a request is one that a server here is asked by.

        A page of another site can have its own name point at the loopback, but the browser still says that name.
        """
        if not is_loopback(self.host):
            return True
        name = _host_name(host)
        return name is not None and (is_loopback(name) or name == _host_name_of_url(self.public_url))

    def is_of_this_site(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was made by a page of this server, or by no page at all."""
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return False
        origin = headers.get("Origin")
        if origin is None:
            return True
        if self.public_url is not None and origin == _origin_of(self.public_url):
            return True
        return origin.partition("://")[2] == headers.get("Host", "") != ""


def needed_role(method: str, path: str, reads: frozenset[str] = frozenset()) -> Role:
    """The role that a request needs: whatever may change something is an operator's, but for the paths of `reads`."""
    return Role.VIEWER if method in SAFE_METHODS or path in reads else Role.OPERATOR


def own_token(serve: ServeSettings) -> str | None:
    """The token with which our own programs call the API; None where none is set.

    Raises:
        SettingsRefused: `serve.token_file` cannot be read.
    """
    if serve.token is not None:
        return serve.token.get_secret_value()
    if serve.token_file is None:
        return None
    try:
        return serve.token_file.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsRefused(f"serve.token_file {serve.token_file}: {error.strerror}") from error


def bearer(serve: ServeSettings) -> dict[str, str]:
    """The header that brings `own_token`; none where none is set.

    Raises:
        SettingsRefused: `serve.token_file` cannot be read.
    """
    token = own_token(serve)
    return {"Authorization": f"Bearer {token}"} if token else {}


def now_ms() -> int:
    """The wall clock, in UTC milliseconds."""
    return time.time_ns() // 1_000_000


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _host_name_of_url(url: str | None) -> str | None:
    return None if url is None else urlsplit(url).hostname


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
