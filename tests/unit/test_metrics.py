"""What the workers measure: under which names and labels, and that the figures are those of what happened."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from exported_metrics import families_of, wrappers_of
from hand_made import batch, open_database, order
from prometheus_client import REGISTRY
from stream_worker_world import WorkerWorld, orders

import batcher.metrics
import streams.metrics
from batcher.gauges import content_mark, held_facts, outbox_records
from schemas.sources import Source
from streams.lag import EVERY_S, LagWatch

T = "2011-05-01T10:00:00Z"
#: Names that the documentation fixes, whatever the rules say.
FIXED = {"batch_processing_duration_seconds", "chunk_success_rate", "concurrency_utilization"}
#: What a label may be: sets that the program closes, and sites, which an operator has to act on.
LABELS = {"source", "kind", "error_class", "reason", "cause", "site_id", "sink", "endpoint", "state", "outcome"}


def sample(name: str, **labels: str) -> float:
    """A sample as it would be exported; 0 where there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_names_begin_with_velocity_and_end_with_their_unit() -> None:
    """Counters end in `_total` by themselves; histograms are of seconds, and every metric says what it is."""
    for module in (streams.metrics, batcher.metrics):
        for family in families_of(module):
            assert family.name.startswith("velocity_") or family.name in FIXED
            assert family.type != "histogram" or family.name.endswith("_seconds")
            assert family.documentation


def test_no_label_is_unbounded() -> None:
    """Neither SKUs nor event ids nor partitions."""
    stream, batch = (
        {label for metric in wrappers_of(module) for label in metric._labelnames}
        for module in (streams.metrics, batcher.metrics)
    )
    assert stream | batch <= LABELS
    assert "site_id" not in stream


async def test_a_checkpoint_is_measured_step_by_step(tmp_path: Path) -> None:
    """Encoding, making files durable, and their bytes."""
    names = ("velocity_encode_seconds_count", "velocity_file_finish_seconds_count")
    before = {name: sample(name) for name in names}
    bytes_before = sample("velocity_batch_file_bytes_total", source="orders")
    world = WorkerWorld(tmp_path)
    await world.take([*orders(3), *orders(1, start=9, at="2026-03-01T11:15:00Z")])
    await world.ticked()
    (manifest,) = world.ledger.entries[0].manifests
    assert all(sample(name) == before[name] + 1 for name in names)
    assert sample("velocity_batch_file_bytes_total", source="orders") == bytes_before + manifest.bytes


async def test_lag_is_what_the_log_holds_beyond_the_position(tmp_path: Path) -> None:
    """A source without a partition here has none, whatever it had before."""
    world = WorkerWorld(tmp_path)
    world.lane.log_end = 10
    streams.metrics.LAG.labels("returns").set(99)
    await world.take(orders(4))
    await world.worker.tick()
    await asyncio.sleep(0.01)
    assert sample("velocity_source_lag_records", source="orders") == 6
    assert sample("velocity_source_lag_records", source="returns") == 0


def test_lag_is_asked_for_every_few_seconds_and_not_while_an_answer_is_due() -> None:
    """Ticks come ten times a second."""
    watch = LagWatch()
    assert watch.due(100.0)
    assert not watch.due(100.0 + 2 * EVERY_S)
    watch._asking = False
    assert not watch.due(100.0 + EVERY_S / 2)
    assert watch.due(100.0 + EVERY_S)


async def test_backpressure_says_of_which_kind_it_is(tmp_path: Path) -> None:
    """A worker may have several reasons at once; the gauge of one is that of its own."""
    pressure = WorkerWorld(tmp_path).bench.pressure
    pressure.press("store check", "disk full")
    pressure.press("store of orders/0", "disk full")
    pressure.press("backlog", "many")
    assert [sample("velocity_backpressure_reasons", kind=kind) for kind in ("store", "backlog")] == [2, 1]
    pressure.lift("store check")
    pressure.lift("backlog")
    assert [sample("velocity_backpressure_reasons", kind=kind) for kind in ("store", "backlog")] == [1, 0]
    assert sample("velocity_backpressure_active") == 1
    pressure.lift("store of orders/0")
    assert sample("velocity_backpressure_active") == 0


@pytest.mark.parametrize(("uom", "held"), [("EA", 0), ("BX", 1)])
def test_held_facts_and_the_outbox_are_counted(uom: str, held: int) -> None:
    """A fact in a unit that nobody has explained is held; a coefficient waits until it is published."""
    with closing(open_database()) as database:
        before = content_mark(database)
        database.insert_batch(*batch(Source.ORDERS, order("E1", T, uom=uom)), partition=0, offset=0)
        assert content_mark(database) != before
        assert held_facts(database, require_known_items=False) == held
        database.calculate("S1", 1_306_800_000_000, trigger="test", now_ms=0, newest=True)
        assert outbox_records(database) == 1 - held
