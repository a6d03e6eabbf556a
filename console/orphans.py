"""Batch files that no manifest names. Pure.

Such a file does not exist for anybody. It is left over from a checkpoint that was never committed, or its manifest is
yet to come, or its manifest was removed. The file's name says which source partition and checkpoint it belongs to.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from schemas.records import Frontier, partition_key
from schemas.sources import Source
from streams.batch_file import BatchName


@dataclass(frozen=True, slots=True)
class Orphan:
    """A file that no manifest names. Both offsets are inclusive."""

    path: str
    bytes: int
    source_key: str
    checkpoint_seq: int
    first_offset: int
    last_offset: int

    def is_settled(self, frontiers: Mapping[str, Frontier]) -> bool:
        """Whether its checkpoint's number has been committed: then no manifest will ever name the file.

        A checkpoint number is committed once. If manifests read after that commit omit the file, another file of that
        checkpoint was announced in its place.
        """
        frontier = frontiers.get(self.source_key)
        return frontier is not None and frontier.checkpoint_seq >= self.checkpoint_seq


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in the store besides announced batches; `foreign` files have names that no batch has."""

    orphans: tuple[Orphan, ...]
    foreign: tuple[str, ...]


def find_orphans(
    files: Iterable[tuple[str, int]], announced: Container[str], topic_of: Callable[[Source], str]
) -> Listing:
    """Sort out the store's files, given as path and bytes; `announced` are the paths of all manifests."""
    orphans: list[Orphan] = []
    foreign: list[str] = []
    for path, size in files:
        if path in announced:
            continue
        try:
            name = BatchName.parse(path)
        except ValueError:
            foreign.append(path)
            continue
        key = partition_key(topic_of(name.source), name.partition)
        orphans.append(Orphan(path, size, key, name.checkpoint_seq, name.first_offset, name.last_offset))
    return Listing(tuple(orphans), tuple(foreign))
