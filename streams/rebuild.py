"""From a partition's name to a partition that is owned: fence, read what was committed, check, and go on from there."""

import asyncio

import structlog
from aiokafka import TopicPartition
from faust.types import TP

from runtime.connections import topic_id
from schemas.records import partition_key
from schemas.topics import TopicRole
from streams.checkpoint import Identity
from streams.fetch_lane import FetchLane
from streams.ledger import Ledger
from streams.owned import OwnedPartition, Recovered
from streams.partition import Partition
from streams.recovery import LogBounds, check_continues, last_frontier
from streams.workbench import Workbench

log = structlog.get_logger(__name__)


async def log_bounds(bench: Workbench, lane: FetchLane, tp: TP) -> LogBounds:
    """What the broker holds of a source partition, read_committed."""
    asked = TopicPartition(*tp)
    starts = await lane.call("beginning_offsets", [asked])
    ends = await lane.call("end_offsets", [asked])
    found_id = await asyncio.to_thread(topic_id, bench.settings.kafka, tp.topic)
    return LogBounds(starts[asked], ends[asked], found_id)


async def rebuild(bench: Workbench, lane: FetchLane, tp: TP) -> OwnedPartition:
    """Own a partition: its former owner is fenced when this returns, and its state is what was committed.

    Raises:
        Refusal: what was committed cannot be continued; see `check_continues` and `last_frontier`.
        ReplayMismatch: the checkpoint names open windows but no records to replay.
        KafkaError, TimeoutError: try again later.
    """
    ledger = Ledger(bench.settings, tp.topic, tp.partition)
    try:
        await ledger.open()
        return await _read_state(bench, lane, tp, ledger)
    except BaseException:
        await ledger.close()
        raise


async def _read_state(bench: Workbench, lane: FetchLane, tp: TP, ledger: Ledger) -> OwnedPartition:
    key = partition_key(*tp)
    bounds = await log_bounds(bench, lane, tp)
    frontiers = bench.settings.topics.name(TopicRole.FRONTIERS)
    commit = await lane.committed(tp)
    record = await last_frontier(bench.settings.kafka, frontiers, key, commit)
    identity = Identity(
        bench.settings.topics.source_of(tp.topic),
        tp.topic,
        tp.partition,
        bounds.topic_id,
        bench.settings.worker_id,
        bench.settings_hash,
    )
    if record is None:
        log.info("partition is new", partition=key, start=bounds.start)
        state = Partition.fresh(bench.rules, bounds.start)
        return OwnedPartition(bench, identity, state, ledger, Recovered(commit), lane.committed)
    check_continues(record, bounds, bench.settings_hash)
    found = Recovered(commit, record.manifests)
    owned = OwnedPartition(bench, identity, Partition.recovered(bench.rules, record), ledger, found, lane.committed)
    if bounds.start > owned.state.position:
        owned.skip_gap(bounds.start)
    log.info(
        "partition recovered",
        partition=key,
        position=record.position,
        replay_from=owned.state.position,
        open_windows=len(record.open_windows),
    )
    return owned
