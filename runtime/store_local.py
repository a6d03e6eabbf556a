"""The batch store in a directory: temporary file → fsync → hard link to the final name → fsync of the directories.

A link, unlike a rename, never replaces a file. The directory may be shared by workers, also over NFS.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path
from tempfile import NamedTemporaryFile

from runtime.spool import Spool, check_folder, sweep_folder
from runtime.store import (
    CLAIM,
    TEMPORARY,
    BatchMissing,
    BatchStore,
    PathTaken,
    SpoolLost,
    StoredFile,
    StoreUnavailable,
    TemporaryFolder,
    checked_name,
    checked_path,
    store_errors,
)

_CHUNK = 1 << 20


class LocalStore(BatchStore):
    """Batch files under `root`, which is created when something is first written."""

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        self.root = root.expanduser().absolute()
        self._min_free_bytes = min_free_bytes
        self._claimed = False
        self._durable: set[Path] = set()  # directories whose entry in their parent this process has made durable

    def spool(self, worker: str, name: str) -> Spool:
        return _LocalSpool(self, self._folder_of(worker), name)

    def sweep(self, worker: str) -> int:
        return sweep_folder(self._folder_of(worker))

    def temporary_folders(self) -> list[TemporaryFolder]:
        with store_errors(f"list {TEMPORARY}"):
            folders = [folder for folder in (self.root / TEMPORARY).glob("*") if folder.is_dir()]
            return [found for folder in folders if (found := _temporary(folder)) is not None]

    def check(self) -> None:
        self.check_mounted()
        check_folder(self.root / TEMPORARY, self._min_free_bytes)

    def check_mounted(self) -> None:
        """Make sure that the store is the one that this process has claimed, and not the folder beneath its volume.

        Raises:
            StoreUnavailable: its claim is gone.
        """
        if self._claimed and self.claimed_by() is None:
            raise StoreUnavailable(f"the claim {CLAIM} is gone from {self.root}: is its volume mounted?")

    def read(self, path: str) -> bytes:
        with self._finding(path) as file:
            return file.read_bytes()

    def open(self, path: str) -> BufferedIOBase:
        with self._finding(path) as file:
            return file.open("rb")

    def size(self, path: str) -> int:
        with self._finding(path) as file:
            found = file.stat()
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(path)
            return found.st_size

    def list(self) -> Iterator[tuple[str, int]]:
        self._require_root()
        with store_errors(f"list {self.root}"):
            yield from self._list(self.root, "")

    def delete(self, path: str) -> None:
        with store_errors(f"delete {path}"):
            (self.root / checked_path(path)).unlink(missing_ok=True)

    def claim(self, owner: str) -> str:
        folder, claim = self.root / TEMPORARY, self.root / CLAIM
        with store_errors(f"write {claim}"):
            self.make_durable(folder)
            with NamedTemporaryFile(dir=folder, prefix="claim-") as file:
                file.write(owner.encode())
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(file.name, claim)
            fsync_directory(folder)
        self._claimed = True
        return self.claimed_by() or owner

    def claimed_by(self) -> str | None:
        with store_errors(f"read {CLAIM}"), suppress(FileNotFoundError):
            return (self.root / CLAIM).read_text().strip()
        return None

    def make_durable(self, folder: Path) -> None:
        """Create a directory, and see to it that it and all above it outlive a power failure."""
        if folder in self._durable or folder == folder.parent:
            return
        self.make_durable(folder.parent)
        folder.mkdir(exist_ok=True)
        with suppress(PermissionError):  # above the root, one that may be passed but not read: it was there before us
            fsync_directory(folder.parent)
        self._durable.add(folder)

    def _folder_of(self, worker: str) -> Path:
        return self.root / TEMPORARY / checked_name(worker)

    @contextmanager
    def _finding(self, path: str) -> Iterator[Path]:
        with store_errors(f"read {path}"):
            try:
                yield self.root / checked_path(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                self._require_root()
                raise BatchMissing(f"{path} is not in the batch store {self.root}") from error

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise StoreUnavailable(f"the batch store {self.root} is not there: is its volume mounted?")

    def _list(self, folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
        """In the order of whole paths: `a-b/x` comes before `a/x`, as it does in a bucket."""
        with os.scandir(folder) as found:
            entries = {entry.name + "/" * entry.is_dir(): entry for entry in found}
        if not prefix:
            entries.pop(f"{TEMPORARY}/", None)
        for name, entry in sorted(entries.items()):
            if name.endswith("/"):
                yield from self._list(Path(entry.path), prefix + name)
            else:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield prefix + name, entry.stat().st_size


def _temporary(folder: Path) -> TemporaryFolder | None:
    found: list[os.stat_result] = []
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # finished meanwhile
            found.append(file.stat())
    if not found:
        return None
    return TemporaryFolder(folder.name, sum(one.st_size for one in found), max(one.st_mtime for one in found))


class _LocalSpool(Spool):
    """A temporary file on the disk where it stays."""

    def __init__(self, store: LocalStore, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self._store = store
        self._doubtful = False

    def _publish(self, file: int, stored: StoredFile) -> None:
        self._store.check_mounted()
        self._sync(file)
        target = self._store.root / stored.path
        self._store.make_durable(target.parent)
        try:
            os.link(self._file, target)
        except FileExistsError as error:
            if not self._store.holds(stored):
                raise PathTaken(f"{stored.path} exists with other content: two workers wrote one batch") from error
        fsync_directory(target.parent)

    def _sync(self, file: int) -> None:
        """After a failed fsync the kernel counts the lost pages as written and the next one succeeds: write anew."""
        doubtful, self._doubtful = self._doubtful, True
        if doubtful:
            self._rewrite()
        else:
            os.fsync(file)
        self._doubtful = False

    def _rewrite(self) -> None:
        copy = self._file.with_name(self._file.name + ".again")
        digest = hashlib.sha256()
        with self._file.open("rb") as old, copy.open("wb") as new:
            while chunk := old.read(_CHUNK):
                digest.update(chunk)
                new.write(chunk)
            new.flush()
            os.fsync(new.fileno())
        if digest.hexdigest() != self.sha256:
            copy.unlink()
            raise SpoolLost(f"temporary file {self._file} no longer holds what was written to it")
        copy.replace(self._file)


def fsync_directory(folder: Path) -> None:
    """Make the entries of a directory durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
