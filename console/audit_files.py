"""Batch files against their manifests: is each there, with the bytes and the SHA-256 that were announced?"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from console.audit import Problem
from console.evidence import Announced
from runtime.store import BatchMissing, BatchStore
from schemas.records import Manifest

THREADS = 4
AHEAD = 8  # files that are being read before they are looked at, so memory holds no more


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was looked at; `fault` says what is wrong with it, `data` are its bytes where those were kept."""

    announced: Announced
    fault: str | None
    data: bytes = b""

    def problem(self) -> Problem | None:
        """The fault in context."""
        return None if self.fault is None else file_problem(self.announced, self.fault)


def file_problem(announced: Announced, fault: str) -> Problem:
    """What is wrong with a batch's file, and which offsets it leaves in doubt."""
    manifest = announced.manifest
    span = f"{manifest.record_count:,} records, offsets {manifest.first_offset} to {manifest.last_offset}"
    what = f"batch {manifest.batch_id} ({span}): its file {manifest.path} {fault}"
    return Problem(announced.source_key, what, manifest.first_offset)


def check_files(store: BatchStore, announced: Iterable[Announced], *, keep: bool = False) -> Iterator[Checked]:
    """Look at every file, several at a time, in order; `keep` hands over the bytes of those that are sound. Blocks.

    Raises:
        StoreUnavailable: the store is out of reach: nothing can be said.
    """

    def look(one: Announced) -> Checked:
        return _with_data(store, one) if keep else Checked(one, _fault(store, one.manifest))

    with ThreadPoolExecutor(THREADS) as pool:
        yield from _in_order(pool, look, announced)


def _in_order(
    pool: ThreadPoolExecutor, look: Callable[[Announced], Checked], announced: Iterable[Announced]
) -> Iterator[Checked]:
    waiting: deque[Future[Checked]] = deque()
    try:
        for one in announced:
            waiting.append(pool.submit(look, one))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _fault(store: BatchStore, manifest: Manifest) -> str | None:
    try:
        size = store.size(manifest.path)
        found = store.sha256_of(manifest.path) if size == manifest.bytes else ""
    except (BatchMissing, ValueError) as error:
        return _missing(error)
    return _difference(manifest, size, found)


def _with_data(store: BatchStore, announced: Announced) -> Checked:
    manifest = announced.manifest
    try:
        data = store.read(manifest.path)
    except (BatchMissing, ValueError) as error:
        return Checked(announced, _missing(error))
    fault = _difference(manifest, len(data), hashlib.sha256(data).hexdigest())
    return Checked(announced, fault, b"" if fault else data)


def _missing(error: Exception) -> str:
    return "is missing" if isinstance(error, BatchMissing) else f"cannot be in the store: {error}"


def _difference(manifest: Manifest, size: int, sha256: str) -> str | None:
    if size != manifest.bytes:
        return f"has {size:,} bytes; the manifest says {manifest.bytes:,}"
    if sha256 != manifest.sha256:
        return f"is damaged: its SHA-256 is {sha256}; the manifest says {manifest.sha256}"
    return None
