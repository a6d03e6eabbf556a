"""Fetches of a partition by hand: what a log brings, decoded, and what a checkpoint of it says."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import Frontier, Window
from schemas.sources import Source
from schemas.windows import SiteWindows, SiteZones, WindowSpec
from streams.event_clock import ClockRules
from streams.partition import Partition
from streams.snapshot import Arrivals, Snapshot
from streams.windowing import assign_windows

MINUTE, HOUR = 60_000, 3_600_000
# The night before summer time begins in London; Lord Howe ends its own, of half an hour, eight days later.
BEGIN = 1_774_656_000_000  # 2026-03-28T00:00Z
ZONES = SiteZones({"LDN": "Europe/London", "NYC": "America/New_York", "LHI": "Australia/Lord_Howe"})
HOURLY = SiteWindows(WindowSpec.parse("PT1H"), ZONES)
RULES = ClockRules(10 * MINUTE, idle_timeout_ms=MINUTE, idle_policy="advance", longest_window_ms=HOUR)


@dataclass(frozen=True)
class LogRecord:
    """A record of the log. A rejected one has no window, and its event time means nothing."""

    offset: int
    site_id: str
    event_time: int
    window: Window | None


def decoded_table(records: list[LogRecord]) -> pa.Table:
    """Accepted records as the intake hands them on, reduced to the columns that windows rest on."""
    return pa.table(
        {
            "site_id": pa.array([record.site_id for record in records], pa.string()),
            "event_time": pa.array([record.event_time for record in records], pa.int64()),
            "source_offset": pa.array([record.offset for record in records], pa.int64()),
        }
    )


def dead_letter(offset: int) -> DeadLetter:
    """A dead letter of which only the offset matters."""
    where = ("wms.orders.v1", 0, offset, BEGIN, None)
    why = (ErrorClass.NOT_JSON, "decode", "$", "", 1, f"wms.orders.v1/0/{offset}", BEGIN, "test")
    return DeadLetter(b"{", (), *where, *why)


def frontier_record(snapshot: Snapshot) -> Frontier:
    """The frontier record of a snapshot, as the checkpoint makes it."""
    return Frontier(
        source=Source.ORDERS,
        source_topic="wms.orders.v1",
        source_partition=0,
        topic_id="t",
        checkpoint_seq=snapshot.seq,
        position=snapshot.position,
        frontier=snapshot.frontier,
        max_event_time=snapshot.max_event_time,
        committed=snapshot.committed,
        settings_hash="h",
        manifests={},
        open_windows=snapshot.open_windows,
        counts=snapshot.counts,
        gaps=snapshot.gaps,
        idle=snapshot.idle,
        last_drain=snapshot.last_drain,
        worker_id="w",
        pipeline_version="test",
        checkpoint_at=BEGIN,
    )


def at(wall: str) -> int:
    """Event time of `HH:MM`, on the day of these tests, in UTC milliseconds."""
    hours, minutes = wall.split(":")
    return BEGIN + int(hours) * HOUR + int(minutes) * MINUTE


def fetch(base: int, end: int, *records: tuple[int, str], site: str = "A", refused: Iterable[int] = ()) -> Arrivals:
    """A fetch of `[base, end)` with accepted records (offset, `HH:MM`) of one site, and refused offsets."""
    log = [LogRecord(offset, site, at(wall), None) for offset, wall in records]
    letters = [dead_letter(offset) for offset in refused]
    return Arrivals(base, end, assign_windows(decoded_table(log), HOURLY), letters, 100 * len(letters))


def partition(*fetches: Arrivals, policy: Literal["advance", "hold"] = "advance") -> Partition:
    """A partition, new at offset 0, that has taken these fetches."""
    state = Partition.fresh(replace(RULES, idle_policy=policy), 0)
    for arrivals in fetches:
        state.admit(arrivals)
    return state


def commit(state: Partition) -> Frontier:
    """A checkpoint that goes well; returns its frontier record."""
    record = frontier_record(state.snapshot())
    state.settle()
    return record


def fall_idle(state: Partition, now: int, end_offset: int) -> None:
    """Let the quiet time end at `now`, with `end_offset` as the log's end."""
    state.clock.wants_probe(now - MINUTE)
    assert state.clock.wants_probe(now)
    state.clock.probed(end_offset, state.clock.max_event_time)
    state.settle_idleness(now)


def is_due(state: Partition) -> bool:
    """Whether a checkpoint is due, under hourly windows."""
    return state.due(HOURLY.floors)


def held(state: Partition) -> dict[str, int]:
    """Count of each window that is not settled, by the `HH` of its start."""
    return {f"{(b.window.start - BEGIN) // HOUR:02}": b.count for b in state.windows}


def late(state: Partition) -> list[int]:
    """Offsets of the corrections that wait."""
    return [offset for rows in state.pending.corrections for offset in rows.offsets.tolist()]
