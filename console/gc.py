"""`velocity gc`: removing batch files that no manifest names, and never will, and what lost workers have left behind.

In this order: list the files; read the frontier records; read the manifests to their end. A file goes only when its
source partition has committed the file's checkpoint and the manifests, read beyond that commit, omit it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from console.frontier_board import read_frontiers
from console.gather import read_manifests
from console.orphans import Orphan, find_orphans
from console.progress import Meter
from runtime.connections import group_members
from runtime.settings import Settings
from runtime.store import BatchStore, TemporaryFolder, open_store
from runtime.store_claim import check_claim

#: For so long nothing has been written to the temporary folder of a worker that does not come back. One that does
#: removes it by itself, so that nothing is lost if it was only away.
ABANDONED_AFTER_S = 86_400.0


@dataclass(slots=True)
class Swept:
    """What a sweep removed, or on a dry run would remove. `kept` files may yet be announced; `foreign` are not ours.

    `workers` are those whose temporary files went, of `temporary_bytes`.
    """

    removed: list[str] = field(default_factory=list[str])
    bytes: int = 0
    workers: list[str] = field(default_factory=list[str])
    temporary_bytes: int = 0
    kept: list[str] = field(default_factory=list[str])
    foreign: list[str] = field(default_factory=list[str])
    dry_run: bool = False


async def sweep(settings: Settings, *, dry_run: bool) -> Swept:
    """Remove what is left over.

    Raises:
        SettingsRefused: the store is another pipeline's, or nobody's; nothing was removed.
        StoreUnavailable: the store is out of reach, or read-only; what was removed before stays removed.
        KafkaError: the brokers do not answer; nothing was removed.
    """
    store = open_store(settings.store)
    await asyncio.to_thread(check_claim, store, settings)
    files = await asyncio.to_thread(lambda: list(store.list()))
    frontiers = await read_frontiers(settings)
    announced = {one.manifest.path for one in await read_manifests(settings)}
    listing = find_orphans(files, announced, settings.topics.source_topic)
    doomed = [orphan for orphan in listing.orphans if orphan.is_settled(frontiers)]
    abandoned = await _abandoned(store, settings)
    if not dry_run:
        await asyncio.to_thread(_delete, store, doomed)
        for folder in abandoned:
            await asyncio.to_thread(store.sweep, folder.worker)
    return Swept(
        removed=[orphan.path for orphan in doomed],
        bytes=sum(orphan.bytes for orphan in doomed),
        workers=[folder.worker for folder in abandoned],
        temporary_bytes=sum(folder.bytes for folder in abandoned),
        kept=[orphan.path for orphan in listing.orphans if not orphan.is_settled(frontiers)],
        foreign=list(listing.foreign),
        dry_run=dry_run,
    )


async def _abandoned(store: BatchStore, settings: Settings) -> list[TemporaryFolder]:
    """Temporary folders of workers that are not in the group, and have not been for long."""
    folders = await asyncio.to_thread(store.temporary_folders)
    old = [folder for folder in folders if time.time() - folder.written_at > ABANDONED_AFTER_S]
    if not old:
        return []
    members = await asyncio.to_thread(group_members, settings.kafka, settings.kafka.stream_group)
    present = {member.group_instance_id for member in members}
    return [folder for folder in old if folder.worker not in present]


def _delete(store: BatchStore, orphans: Sequence[Orphan]) -> None:
    if not orphans:
        return
    with Meter("removing files", total=len(orphans), unit="files") as meter:
        for orphan in orphans:
            store.delete(orphan.path)
            meter.advance()
