"""What a drain waits for and asks for, as functions of the frontier records. Pure.

A drain has an end offset per source partition (`topic/partition`), captured when it begins. Partitions of topics that
are no longer configured take no part.
"""

from collections.abc import Iterable, Mapping

from schemas.records import ControlRecord, Frontier

Ends = Mapping[str, int]
Frontiers = Mapping[str, Frontier]


def unfinished(records: Iterable[ControlRecord]) -> list[ControlRecord]:
    """Requests without a `done`, oldest first."""
    requests: dict[str, ControlRecord] = {}
    done: set[str] = set()
    for record in records:
        if record.phase == "request":
            requests[record.id] = record
        elif record.phase == "done":
            done.add(record.id)
    return [request for id_, request in requests.items() if id_ not in done]


def unread(frontiers: Frontiers, ends: Ends) -> dict[str, int]:
    """Source partitions that have not come to their end offset, with how many offsets they are short.

    One that has never written a frontier record counts as short of all, and of 1 at least.
    """
    short = {key: end - frontiers[key].position if key in frontiers else max(1, end) for key, end in ends.items()}
    return {key: count for key, count in short.items() if count > 0}


def close_instant(frontiers: Frontiers, ends: Ends) -> int | None:
    """The end of the last open window anywhere, in UTC milliseconds; None when none is open."""
    return max((w.end for key in ends if key in frontiers for w in frontiers[key].open_windows), default=None)


def unfulfilled(frontiers: Frontiers, ends: Ends, drain_id: str) -> list[str]:
    """Source partitions that have yet to say that they fulfilled this drain."""
    return [key for key in ends if key not in frontiers or frontiers[key].last_drain != drain_id]


def announced(frontiers: Frontiers, ends: Ends) -> dict[int, int]:
    """By partition of the batches topic, the offset of the last manifest announced so far."""
    last: dict[int, int] = {}
    for key in ends:
        for partition, offset in frontiers[key].manifests.items():
            last[partition] = max(last.get(partition, -1), offset)
    return last


def untaken(last_manifests: Mapping[int, int], taken: Mapping[int, int]) -> int:
    """How many offsets the batch workers are short of the last manifests; `taken` are their committed offsets."""
    return sum(max(0, offset + 1 - max(0, taken.get(partition, 0))) for partition, offset in last_manifests.items())
