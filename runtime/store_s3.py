"""The batch store in a bucket: a file is put together locally, then sent by one conditional put, which is its rename.

Endpoint, region and credentials come from the usual places: `AWS_*` variables, instance or pod roles. The bucket must
honour `If-None-Match: *` (S3, MinIO, Ceph and R2 do): without it, a put would replace a file of the same name.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store as Bucket

from runtime.spool import Spool, check_folder, sweep_folder
from runtime.store import (
    CLAIM,
    TEMPORARY,
    BatchMissing,
    BatchStore,
    PathTaken,
    StoredFile,
    StoreUnavailable,
    StoreUnsuitable,
    checked_name,
    checked_path,
    store_errors,
)

if TYPE_CHECKING:
    from obstore.store import RetryConfig

# Retries here are for a lost packet; for a lost bucket the worker pauses, says so, and tries again by itself.
_RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
_PROBE = f"{TEMPORARY}/probe"


class S3Store(BatchStore):
    """Batch files under a prefix of a bucket, `s3://bucket/prefix`."""

    def __init__(self, url: str, min_free_bytes: int = 0, spool_dir: Path | None = None) -> None:
        self.url = url
        self._min_free_bytes = min_free_bytes
        distinct = hashlib.sha256(url.encode()).hexdigest()[:8]  # one machine may serve several stores
        self._spools = (spool_dir or Path(gettempdir()) / "velocity-spool") / distinct
        self._bucket = Bucket.from_url(url, retry_config=_RETRIES)
        self._conditional = False  # whether the bucket was seen to refuse a taken name

    def spool(self, worker: str, name: str) -> Spool:
        return _S3Spool(self, self._spools / checked_name(worker), name)

    def sweep(self, worker: str) -> int:
        return sweep_folder(self._spools / checked_name(worker))

    def check(self) -> None:
        """
        Raises:
            StoreUnsuitable: the bucket takes conditional puts without regard to the condition.
        """
        check_folder(self._spools, self._min_free_bytes)
        with self._errors(f"write to {self.url}"):
            obstore.put(self._bucket, _PROBE, b"")
            if not self._conditional:
                self._require_conditional_put()

    def _require_conditional_put(self) -> None:
        try:
            obstore.put(self._bucket, _PROBE, b"", mode="create")
        except AlreadyExistsError:
            self._conditional = True
        else:
            raise StoreUnsuitable(f"{self.url} ignores `If-None-Match: *`: batch files could be replaced. Use another.")

    def read(self, path: str) -> bytes:
        with self._errors(f"read {path}"):
            return bytes(obstore.get(self._bucket, checked_path(path)).bytes())

    def open(self, path: str) -> BufferedIOBase:
        """Downloads the file first: a reader seeks, and a connection does not."""
        with ExitStack() as on_error, store_errors(f"keep a copy of {path}"), self._errors(f"read {path}"):
            copy = on_error.enter_context(TemporaryFile())
            for chunk in obstore.get(self._bucket, checked_path(path)):
                copy.write(chunk)
            copy.seek(0)
            on_error.pop_all()
        return copy

    def size(self, path: str) -> int:
        with self._errors(f"read {path}"):
            return obstore.head(self._bucket, checked_path(path))["size"]

    def list(self) -> Iterator[tuple[str, int]]:
        with self._errors(f"list {self.url}"):
            for page in obstore.list(self._bucket):
                yield from ((o["path"], o["size"]) for o in page if not o["path"].startswith(f"{TEMPORARY}/"))

    def delete(self, path: str) -> None:
        with self._errors(f"delete {path}"):
            obstore.delete(self._bucket, checked_path(path))

    def claim(self, owner: str) -> str:
        with self._errors(f"write {CLAIM}"), suppress(AlreadyExistsError):
            obstore.put(self._bucket, CLAIM, owner.encode(), mode="create")
        return self.claimed_by() or owner

    def claimed_by(self) -> str | None:
        try:
            with self._errors(f"read {CLAIM}"):
                return bytes(obstore.get(self._bucket, CLAIM).bytes()).decode().strip()
        except BatchMissing:
            return None

    def create(self, stored: StoredFile, content: Path) -> None:
        """Put `content` under its name unless the name is taken.

        Raises:
            PathTaken: by other content.
        """
        with self._errors(f"write {stored.path}"):
            try:
                obstore.put(self._bucket, stored.path, content, mode="create")
            except AlreadyExistsError as error:
                if not self.holds(stored):
                    raise PathTaken(f"{stored.path} exists with other content: two workers wrote one batch") from error

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """
        Raises:
            BatchMissing: there is no such object.
            StoreUnavailable: there is no such bucket, or it cannot be reached or used.
        """
        try:
            yield
        except FileNotFoundError as error:
            self._require_bucket(doing)
            raise BatchMissing(f"cannot {doing}: it is not in {self.url}") from error
        except BaseError as error:
            raise _unavailable(doing, error) from error

    def _require_bucket(self, doing: str) -> None:
        """A missing object and a missing bucket are both "not found"; only the listing tells them apart."""
        try:
            next(iter(obstore.list(self._bucket, chunk_size=1)), None)
        except (BaseError, FileNotFoundError) as error:
            raise _unavailable(doing, error) from error


def _unavailable(doing: str, error: Exception) -> StoreUnavailable:
    reason = re.split(r"\n|: <\?xml", str(error))[0]
    return StoreUnavailable(f"cannot {doing}: {reason}. Check that the bucket exists, its credentials and the network.")


class _S3Spool(Spool):
    """A temporary file that ends as an object."""

    def __init__(self, store: S3Store, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self._store = store

    def _publish(self, file: int, stored: StoredFile) -> None:
        self._store.create(stored, self._file)
