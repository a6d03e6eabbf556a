"""Who calls: a person in a browser, or a program with a token."""

from dataclasses import dataclass

from aiohttp import web

from console.web.sessions import Session
from console.who import who
from runtime.access import Role, Token


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is let in. `name` is that of the token, or of the console's own account where nobody is asked."""

    name: str
    role: Role

    @property
    def may_act(self) -> bool:
        """Whether buttons that change something are for this caller."""
        return self.role.allows(Role.OPERATOR)

    @classmethod
    def of(cls, token: Token) -> "Caller":
        """Whoever has this token."""
        return cls(token.name, token.role)

    @classmethod
    def anybody(cls) -> "Caller":
        """Whoever reaches a console that asks nobody."""
        return cls(who(), Role.OPERATOR)


CALLER = web.RequestKey("CALLER", Caller)
SESSION = web.RequestKey("SESSION", Session)  # of a browser; a program with a token has none
FORM_TOKEN = web.RequestKey("FORM_TOKEN", str)


def caller_of(request: web.Request) -> Caller:
    """Who calls.

    Raises:
        KeyError: the page is one that anybody may see.
    """
    return request[CALLER]
