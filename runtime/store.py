"""The batch store: where immutable batch files live, and what can go wrong there.

A file is written under a temporary name (a `Spool`), made durable, and only then appears under its final name, whole;
what has a final name never changes. Paths are relative to the store, with forward slashes. `LocalStore` keeps files in
a directory, `S3Store` in a bucket. All calls block: run them in a thread from async code.
"""

import errno
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.refusals import SettingsRefused
from runtime.settings import StoreSettings

if TYPE_CHECKING:
    from runtime.spool import Spool

TEMPORARY = ".tmp"  # never listed; has a folder per worker
CLAIM = f"{TEMPORARY}/pipeline"  # a file that says whose batches these are


class StoreError(Exception):
    """A batch file cannot be written or read, and waiting does not help."""


class StoreUnavailable(StoreError):
    """The store is full, read-only or out of reach. Time, or a person, heals it; the message says how."""


class StoreUnsuitable(StoreError):
    """The store cannot keep batches safe, and never will: use another."""


class BatchMissing(StoreError):
    """There is no such batch file, though the store itself is there."""


class BatchDamaged(StoreError):
    """A batch file is not what its manifest says: another size or SHA-256."""


class PathTaken(StoreError):
    """Another file already has this name, which only ever one content may have."""


class SpoolLost(StoreError):
    """A temporary file was removed, shortened or altered by somebody else: what it held must be read again."""


#: Errors of the operating system that time or a person heals, and what the person can do.
ADVICE: dict[int, str] = {
    errno.ENOSPC: "Free space on its disk, or grow it.",
    errno.EDQUOT: "Free space, or raise the quota.",
    errno.EFBIG: "Raise the file size limit of the process (ulimit -f).",
    errno.EROFS: "Mount it writable.",
    errno.EACCES: "Give this user access.",
    errno.ENOTDIR: "Move away the file that stands where a directory should be.",
    errno.EEXIST: "Move away the file that stands where a directory should be.",
    errno.EPERM: "Give this user access; the file system must also allow hard links.",
    errno.EIO: "Check the health of its disk.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENFILE: "Raise the system's limit of open files.",
    errno.ESTALE: "Mount the network file system again.",
    errno.ENOTCONN: "Mount the network file system again.",
    errno.ETIMEDOUT: "Check the network file system.",
    errno.EHOSTDOWN: "Check the network file system.",
    errno.EHOSTUNREACH: "Check the network file system.",
    errno.ENETUNREACH: "Check the network.",
    errno.EREMOTEIO: "Check the network file system.",
    errno.EBUSY: "Wait until whoever uses it lets go.",
    errno.ENODEV: "Check that its volume is there.",
    errno.ENXIO: "Check that its volume is there.",
    errno.ENOMEM: "Free memory.",
}


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Errors of the operating system while `doing` something, as errors of the store.

    Raises:
        StoreUnavailable: an error of `ADVICE`.
        StoreError: any other.
    """
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0)
        if advice:
            raise StoreUnavailable(f"cannot {doing}: {error.strerror}. {advice}") from error
        raise StoreError(f"cannot {doing}: {error}") from error


@dataclass(frozen=True)
class StoredFile:
    """A finished batch file. `sha256` has 64 hexadecimal digits."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TemporaryFolder:
    """What is in the temporary folder of a worker; `written_at` is of the last of it, in seconds since the epoch."""

    worker: str
    bytes: int
    written_at: float


class BatchStore(ABC):
    """What every batch store does. Each method may raise `StoreUnavailable`; only others are named."""

    @abstractmethod
    def spool(self, worker: str, name: str) -> "Spool":
        """A new batch file in the worker's own temporary folder; `name` is for people and need not be unique.

        Writes nothing yet.
        """

    @abstractmethod
    def sweep(self, worker: str) -> int:
        """Remove what a crash left in the worker's own temporary folder; how many files that were.

        Call it before the first `spool`: it also removes temporary files that are still being written.
        """

    def temporary_folders(self) -> "list[TemporaryFolder]":
        """Those that have files, as far as they are in the store; with others, each worker has its own on its disk."""
        return []

    @abstractmethod
    def check(self) -> None:
        """Make sure that batch files can be written: the store is there, writable, and not about to be full."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            BatchMissing: there is none.
        """

    @abstractmethod
    def open(self, path: str) -> BufferedIOBase:
        """The file, to read and seek in; the caller closes it.

        Raises:
            BatchMissing: there is none.
        """

    @abstractmethod
    def size(self, path: str) -> int:
        """Bytes of the file.

        Raises:
            BatchMissing: there is none.
        """

    @abstractmethod
    def list(self) -> Iterator[tuple[str, int]]:
        """Path and bytes of every finished file, sorted by path as text."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove the file; one that is not there is none too many."""

    @abstractmethod
    def claim(self, owner: str) -> str:
        """Whose store it is: `owner`'s from now on, unless somebody has claimed it before."""

    @abstractmethod
    def claimed_by(self) -> str | None:
        """Who has claimed the store; None if nobody has."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        try:
            self.size(path)
        except BatchMissing:
            return False
        return True

    def sha256_of(self, path: str) -> str:
        """SHA-256 of the file, 64 hexadecimal digits, without holding it in memory.

        Raises:
            BatchMissing: there is none.
        """
        with self.open(path) as file, store_errors(f"read {path}"):
            return hashlib.file_digest(file, "sha256").hexdigest()

    def read_verified(self, expected: StoredFile) -> bytes:
        """The whole file, if it is the expected one.

        Raises:
            BatchMissing: there is none.
            BatchDamaged: it is another.
        """
        data = self.read(expected.path)
        if len(data) != expected.bytes:
            raise BatchDamaged(f"{expected.path} has {len(data)} bytes; its manifest says {expected.bytes}")
        found = hashlib.sha256(data).hexdigest()
        if found != expected.sha256:
            raise BatchDamaged(f"{expected.path} has SHA-256 {found}; its manifest says {expected.sha256}")
        return data

    def holds(self, expected: StoredFile) -> bool:
        """Whether exactly this file is there."""
        try:
            return self.size(expected.path) == expected.bytes and self.sha256_of(expected.path) == expected.sha256
        except BatchMissing:
            return False


def checked_path(path: str) -> str:
    """`path`, if it is relative, in plain parts, and not temporary; a manifest must not lead out of the store.

    Raises:
        ValueError: it is not.
    """
    parts = path.split("/")
    if not all(map(_PART.fullmatch, parts)) or parts[0] == TEMPORARY:
        raise ValueError(f"not a path in a batch store: {path!r}")
    return path


def checked_name(name: str) -> str:
    """`name`, if it can be one part of a path and is not hidden.

    Raises:
        ValueError: it cannot.
    """
    if not _PART.fullmatch(name) or name.startswith("."):
        raise ValueError(f"not a name in a batch store: {name!r}")
    return name


# No separators, control characters or backslashes; neither `.` nor `..`; short enough for every file system.
_PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=+@-]{1,255}")


def open_store(settings: StoreSettings, *, min_free_bytes: int = 0, spool_dir: Path | None = None) -> BatchStore:
    """The store of a URL: a directory, `file:///…`, or `s3://bucket/prefix`. Touches nothing yet.

    `check` refuses when the disk that files are written to has fewer than `min_free_bytes` free. `spool_dir` is where
    files for a bucket are put together (default: the system's temporary directory).

    Raises:
        SettingsRefused: no store is known for the URL, or its library is not installed.
    """
    scheme, separator, rest = settings.url.partition("://")
    if not separator or scheme == "file":
        from runtime.store_local import LocalStore

        return LocalStore(Path(rest if separator else settings.url), min_free_bytes)
    if scheme != "s3":
        raise SettingsRefused(f"VELOCITY_STORE__URL is {settings.url!r}: use a directory or s3://bucket/prefix")
    try:
        from runtime.store_s3 import S3Store
    except ImportError as error:
        raise SettingsRefused(f"{settings.url} needs the extra `s3`: pip install 'velocity-slotting[s3]'") from error
    return S3Store(settings.url, min_free_bytes, spool_dir)
