"""A batch file in the making: a temporary file that grows block by block, and survives a full disk.

Hundreds of windows may be open at a time, so no file is held open between blocks.
"""

import hashlib
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from runtime.store import SpoolLost, StoredFile, StoreUnavailable, checked_name, checked_path, store_errors

_PROBE = bytes(4096)


class Spool(ABC):
    """One batch file being written. Not for two threads at once.

    After `StoreUnavailable` the spool is as it was before the call, and the call can be made again.
    """

    def __init__(self, folder: Path, name: str) -> None:
        # The token keeps two processes that were given one worker id from writing into each other's file.
        self._file = folder / f"{checked_name(name)}.{uuid.uuid4().hex}"
        self._created = False
        self._digest = hashlib.sha256()
        self._stored: StoredFile | None = None
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of all bytes so far, 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def append(self, data: bytes) -> None:
        """Write `data` behind what is there.

        Raises:
            StoreUnavailable: nothing of it was written; what a failed write left behind is cut off by the next one.
            SpoolLost: the file is not what it was.
        """
        if self._stored:
            raise ValueError(f"{self._stored.path} is finished: nothing can be appended")
        with store_errors(f"write {self._file}"), self._opened() as file:
            _write_all(file, data, self.bytes)
        self._digest.update(data)
        self.bytes += len(data)

    def finish(self, path: str) -> StoredFile:
        """Make the file durable and give it its final name, under which it appears whole.

        A file of that name with the same bytes is this file: it was finished before a crash.

        Raises:
            StoreUnavailable: the spool is as it was.
            PathTaken: another file has that name.
            SpoolLost: the file is not what it was.
        """
        if not self.bytes:
            raise ValueError("an empty file is no batch")
        stored = StoredFile(checked_path(path), self.bytes, self.sha256)
        if self._stored:
            if self._stored != stored:
                raise ValueError(f"{self._stored.path} is finished: it cannot also be {path}")
            return stored
        with store_errors(f"finish {path}"), self._opened() as file:
            self._publish(file, stored)
        self._stored = stored
        self.discard()
        return stored

    def discard(self) -> None:
        """Remove the temporary file; what cannot be removed now, the next sweep removes. A finished file stays."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    @abstractmethod
    def _publish(self, file: int, stored: StoredFile) -> None:
        """Make the temporary file, open as `file`, the finished one, durably; may be called again after an error."""

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, open for writing, as it was after the last successful `append`."""
        file = self._open()
        try:
            self._cut_torn_tail(file)
            yield file
        finally:
            os.close(file)

    def _open(self) -> int:
        if not self._created:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._created = True
            return file
        try:
            return os.open(self._file, os.O_WRONLY)
        except FileNotFoundError as error:
            raise SpoolLost(
                f"temporary file {self._file} is gone: does another worker run with the same VELOCITY_WORKER_ID?"
            ) from error

    def _cut_torn_tail(self, file: int) -> None:
        """Drop what a failed write left behind the last good byte."""
        size = os.fstat(file).st_size
        if size < self.bytes:
            raise SpoolLost(f"temporary file {self._file} has {size} bytes of {self.bytes}: somebody else changed it")
        if size > self.bytes:
            os.ftruncate(file, self.bytes)


def _write_all(file: int, data: bytes, position: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, position)
        position += written
        rest = rest[written:]


def sweep_folder(folder: Path) -> int:
    """Remove the files of a worker's temporary folder; how many there were."""
    swept = 0
    with store_errors(f"sweep {folder}"):
        for file in list(folder.iterdir()) if folder.is_dir() else []:
            file.unlink(missing_ok=True)
            swept += 1
    return swept


def check_folder(folder: Path, min_free_bytes: int) -> None:
    """Make sure that files can be written in `folder`, by writing one that has no name and goes by itself.

    Raises:
        StoreUnavailable: they cannot, or the disk has fewer than `min_free_bytes` free.
    """
    with store_errors(f"write in {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(_PROBE)
        free = shutil.disk_usage(folder).free
    if free < min_free_bytes:
        raise StoreUnavailable(
            f"{folder} has {free:,} bytes free, fewer than VELOCITY_STREAM__MIN_FREE_BYTES ({min_free_bytes:,}). "
            "Free space on its disk, or grow it."
        )
