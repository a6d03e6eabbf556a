"""Manifests as they stand on the batches topic, and how far each partition of it has been taken.

A manifest is *taken* once its facts are in the database. Batches that cannot be loaded stay behind while others go on,
so what has been taken is not one offset: it is all offsets below the position but those that are pending.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from runtime.partitioning import partition_of
from runtime.store import checked_path
from schemas.codecs import decode
from schemas.records import Manifest


class ManifestMalformed(Exception):
    """A record on the batches topic is no manifest that can be there. It is never skipped."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A manifest, and where it stands on the batches topic."""

    manifest: Manifest
    partition: int
    offset: int

    @property
    def site_id(self) -> str:
        """The site of its batch."""
        return self.manifest.site_id


def read_manifest(value: bytes | None, partition: int, offset: int, partitions: int) -> Announced:
    """Decode a record of the batches topic, which has so many `partitions`.

    Raises:
        ManifestMalformed: says where it stands and what is wrong.
    """
    try:
        manifest = decode(value or b"", Manifest)
        checked_path(manifest.path)
    except (msgspec.DecodeError, ValueError) as error:
        raise ManifestMalformed(f"the record at {partition}/{offset} is no manifest: {error}") from error
    home = partition_of(manifest.site_id, partitions)
    if home != partition:
        raise ManifestMalformed(
            f"the manifest at {partition}/{offset} is of site {manifest.site_id}, which belongs on partition {home}: "
            "it was not written with the site as its key, or the topic's number of partitions was changed"
        )
    return Announced(manifest, partition, offset)


class Progress:
    """What of one partition of the batches topic has been taken. `position` is the next offset to read."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._pending: dict[str, dict[int, None]] = {}  # site → offsets, ascending
        self._held: set[int] = set()

    def announce(self, found: Iterable[Announced], position: int) -> None:
        """Everything up to `position` was read, and these manifests were in it, in offset order."""
        for announced in found:
            self._pending.setdefault(announced.site_id, {})[announced.offset] = None
        self.position = position

    def take(self, announced: Announced) -> None:
        """The facts of a manifest are in the database."""
        pending = self._pending[announced.site_id]
        del pending[announced.offset]
        if not pending:
            del self._pending[announced.site_id]
        self._held.discard(announced.offset)

    def hold(self, announced: Announced) -> None:
        """A batch cannot be loaded for now."""
        self._held.add(announced.offset)

    def next_offset(self, besides: Collection[int] = ()) -> int:
        """The first offset that has not been taken; those in `besides` count as taken."""
        return min(
            (next((o for o in pending if o not in besides), self.position) for pending in self._pending.values()),
            default=self.position,
        )

    def next_unheld(self) -> int:
        """The first offset that has not been taken and is not held: what is left of catching up."""
        return self.next_offset(besides=self._held)

    def next_offset_of(self, site_id: str) -> int:
        """The first offset that a site has not taken."""
        return next(iter(self._pending.get(site_id, ())), self.position)

    @property
    def pending(self) -> int:
        """Manifests that were read and not taken."""
        return sum(map(len, self._pending.values()))
