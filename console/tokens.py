"""Tokens for the command line: made once, listed, revoked. What a running server is told, it knows at once."""

from collections.abc import Callable
from pathlib import Path

from console.errors import CommandFailed, UsageError
from runtime.access import Role, Token, new_secret, new_token
from runtime.door import now_ms
from runtime.refusals import AccessRefused
from runtime.settings import ServeSettings
from runtime.token_file import change_tokens, read_tokens, write_private

LONGEST_NAME = 64


def tokens_file(serve: ServeSettings, file: Path | None) -> Path:
    """The file that is meant.

    Raises:
        UsageError: neither an option nor the settings name one.
    """
    chosen = file or serve.tokens_file
    if chosen is None:
        raise UsageError("say which file: set serve.tokens_file (VELOCITY_SERVE__TOKENS_FILE), or give --file")
    return chosen


def create(file: Path, name: str, role: Role, expires_at_ms: int | None = None) -> str:
    """Make a token; returns it, which nobody can do a second time.

    Raises:
        UsageError: the name is empty, too long, or not printable, or it would have expired by now.
        AccessRefused: the file is no token file, or has a valid token of that name.
        CommandFailed: the file cannot be written.
    """
    if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME or name != name.strip():
        raise UsageError(f"--name {name!r}: write 1 to {LONGEST_NAME} printable characters")
    secret, now = new_secret(), now_ms()
    if expires_at_ms is not None and expires_at_ms <= now:
        raise UsageError("--expires: that is over already")

    def add(tokens: list[Token]) -> list[Token]:
        if any(token.name == name and token.is_valid(now) for token in tokens):
            raise AccessRefused(f"{file} has a token named {name!r}: revoke it first, or choose another name")
        kept = [token for token in tokens if token.name != name]
        return [*kept, new_token(name, role, secret, now, expires_at_ms)]

    _change(file, add)
    return secret


def create_and_keep(file: Path, name: str, role: Role, keep: Path) -> bool:
    """Make a token and keep it in a file of its owner's alone; False if that file is there already.

    Raises:
        UsageError, AccessRefused, CommandFailed: see `create`.
    """
    if keep.exists():
        return False
    secret = create(file, name, role)
    try:
        write_private(keep, f"{secret}\n".encode())
    except OSError as error:
        revoke(file, name)
        raise CommandFailed(f"--save-to {keep}: {error.strerror}") from error
    return True


def revoke(file: Path, name: str) -> None:
    """Take a token away: whoever uses it is out with the next request, and so is who has logged in with it.

    Raises:
        UsageError: there is none of that name.
        AccessRefused: the file is not there, or is no token file.
        CommandFailed: the file cannot be written.
    """

    def without(tokens: list[Token]) -> list[Token]:
        kept = [token for token in tokens if token.name != name]
        if len(kept) == len(tokens):
            names = ", ".join(sorted(token.name for token in tokens)) or "none"
            raise UsageError(f"{file} has no token named {name!r}; there are: {names}")
        return kept

    read_tokens(file)
    _change(file, without)


def listed(file: Path) -> list[Token]:
    """All tokens by name, expired ones too.

    Raises:
        AccessRefused: the file is not there, or is no token file.
    """
    return sorted(read_tokens(file), key=lambda token: token.name)


def _change(file: Path, change: Callable[[list[Token]], list[Token]]) -> None:
    try:
        change_tokens(file, change)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from error
