"""The file of tokens: read again when it has changed, and replaced as a whole."""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
import structlog

from runtime.access import Token
from runtime.refusals import AccessRefused

log = structlog.get_logger(__name__)

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class _Content(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    v: int = 1
    tokens: list[Token] = msgspec.field(default_factory=list[Token])


class TokenFile:
    """The tokens of a file, as they are now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._tokens: list[Token] = []

    def require(self) -> None:
        """
        Raises:
            AccessRefused: the file is not there, is no token file, holds none, or others may write it.
        """
        if not read_tokens(self._path):
            raise AccessRefused(f"{self._path} holds no token: make one with `velocity token create --name NAME`")

    def tokens(self) -> list[Token]:
        """All tokens; none while the file cannot be read: better that nobody gets in than anybody."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._tokens = read_tokens(self._path)
                self._seen = seen
        except (OSError, AccessRefused) as error:
            log.error("nobody is let in: the tokens cannot be read", file=str(self._path), error=str(error))
            self._tokens, self._seen = [], ()
        return self._tokens


def read_tokens(path: Path) -> list[Token]:
    """The tokens of a file.

    Raises:
        AccessRefused: it is not there, is no token file, or others may write it.
    """
    try:
        if path.stat().st_mode & _WRITABLE_BY_OTHERS:
            raise AccessRefused(f"{path} may be written by others than its owner: `chmod 600 {path}`")
        return msgspec.json.decode(path.read_bytes(), type=_Content).tokens
    except OSError as error:
        raise AccessRefused(f"the tokens of serve.tokens_file cannot be read: {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AccessRefused(f"{path} is no file of tokens: {error}. `velocity token create` writes one") from error


def change_tokens(path: Path, change: Callable[[list[Token]], list[Token]]) -> None:
    """Replace the tokens by what `change` makes of them; two at once take turns. Only its owner may read the file.

    Raises:
        AccessRefused: the file is there and is no token file.
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        tokens = read_tokens(path) if path.exists() else []
        write_private(path, msgspec.json.format(msgspec.json.encode(_Content(tokens=change(tokens))), indent=2) + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole by one that nobody but its owner may read.

    Raises:
        OSError: it cannot be written.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:  # made with mode 0600
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
