"""Delivery to a WMS over real HTTP on loopback: deltas, drift, fallbacks, kills, and a thousand chunks of trouble."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from delivery_world import AS_OF_MS, SITE, TARGET, DeliveryWorld, publish, scaled_clock
from hand_made import batch, order
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from batcher.database import Database
from batcher.delivery import failed_records, ledger
from batcher.delivery.chunks import Progress
from batcher.delivery.deliveries import Deliveries
from batcher.delivery.sink_desk import Request
from runtime.crash_points import CRASH_AT
from runtime.tracing import ExportingTracing
from sandbox.wms import FakeWms, Fault, FaultScript
from schemas.failed_chunks import ChunkState
from schemas.sources import Source

FAST: dict[str, Any] = {"retry": {"transient_base": "PT0.01S"}, "breaker": {"open": "PT0.1S", "longest_open": "PT0.5S"}}


def to(*nodes: FakeWms, **more: Any) -> dict[str, Any]:
    """Settings of a sink with these nodes, in chunks of ten SKUs."""
    return {"kind": "http", "urls": [node.url for node in nodes], "chunk_skus": 10, **FAST, **more}


def skus(count: int, lines: int = 1) -> dict[str, int]:
    """So many SKUs of so many order lines each."""
    return {f"SKU-{number:05}": lines for number in range(count)}


def had(wms: FakeWms) -> dict[str, int]:
    """What a WMS knows: SKU → order lines."""
    return {sku: row.order_lines for (_, sku), row in wms.rows.items()}


# -- what is delivered -------------------------------------------------------------------------------------------------


async def test_a_run_is_delivered_once_and_a_correction_as_exactly_the_rows_that_differ(tmp_path: Path) -> None:
    """The same run twice: the second does nothing. One SKU changes, one leaves, one comes: three rows in one chunk."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        publish(world.database, "r1", skus(25))
        standing = await world.visit()
        assert standing.acknowledged
        assert standing.acknowledged.run_id == "r1"
        assert (had(wms), len(wms.applied)) == (skus(25), 3)
        await world.visit()
        publish(world.database, "r2", skus(25))
        await world.visit()
        assert len(wms.applied) == 3

        corrected = {**skus(25), "SKU-00007": 9, "NEW": 1}
        del corrected["SKU-00003"]
        publish(world.database, "r3", corrected)
        await world.visit()
        chunk = list(wms.applied.values())[-1].chunk
        assert ([row.sku for row in chunk.rows], chunk.removed) == (["NEW", "SKU-00007"], ["SKU-00003"])
        assert (had(wms), len(wms.applied)) == (corrected, 4)
        assert (chunk.run_id, chunk.as_of, chunk.chunk, chunk.chunks) == ("r3", "2026-03-01T00:00:00Z", 1, 1)


async def test_a_full_synchronisation_sends_every_row_under_keys_of_its_own(tmp_path: Path) -> None:
    """What the WMS has lost behind our back comes back; asked for once, it is done once."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        publish(world.database, "r1", skus(25))
        await world.visit()
        wms.rows.clear()
        world.desk.requests[TARGET] = Request(full="by a person")
        await world.visit()
        await world.visit()
        assert (had(wms), len(wms.applied)) == (skus(25), 6)


async def test_inputs_that_come_back_are_no_duplicate(tmp_path: Path) -> None:
    """The run of before has the id of before, and its chunks have keys that the WMS has not seen."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        for run_id, lines in (("r1", 1), ("r2", 2), ("r1", 1), ("r2", 2)):
            publish(world.database, run_id, skus(5, lines))
            await world.visit()
            assert had(wms) == skus(5, lines)


async def test_the_token_and_the_version_are_sent_and_each_attempt_has_an_id_of_its_own(tmp_path: Path) -> None:
    """A WMS that lost its answer can tell by the ids that it was asked twice."""
    script = FaultScript(first=(Fault.BROKEN, None))
    async with FakeWms(script) as wms, DeliveryWorld(tmp_path, to(wms, token="s3cret")) as world:
        publish(world.database, "r1", skus(1))
        await world.visit()
    first, second = wms.headers
    assert first["Authorization"] == "Bearer s3cret"
    assert first["Velocity-Schema-Version"] == "1"
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    assert [name[32:] for name in wms.request_ids] == ["-1", "-2"]
    assert [applied.again for applied in wms.applied.values()] == [1]


# -- when it may not go on ---------------------------------------------------------------------------------------------


async def test_off_peak_it_stops_at_a_chunk_boundary_and_goes_on_next_time(tmp_path: Path) -> None:
    """No request begins while the schedule is closed; what was acknowledged before is not sent again."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms, when="off-peak", max_concurrency=1)) as world:
        world.open_until = lambda _, now_ms: now_ms + 1 if len(wms.applied) < 2 else None
        publish(world.database, "r1", skus(40))
        standing = await world.visit()
        assert (len(wms.applied), standing.chunks[Progress.ACKNOWLEDGED]) == (2, 2)
        await world.visit()
        assert len(wms.applied) == 2
        world.open_until = lambda _, now_ms: now_ms + 1
        await world.visit()
        assert (had(wms), len(wms.applied), sum(wms.statuses.values())) == (skus(40), 4, 4)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.NEW_VERSION, "expected schema_version 1; found 2"),
        (Fault.MISSING_FIELD, "missing required field `status`"),
        (Fault.CHANGED_TYPE, "Expected `int`, got `str` - at `$.rows`"),
    ],
)
async def test_drift_stops_the_sink_and_loses_nothing(tmp_path: Path, fault: Fault, said: str) -> None:
    """It says what was expected and found, also after a restart; a person lets it go on, with the same chunk."""
    async with FakeWms(FaultScript(first=(fault,))) as wms:
        async with DeliveryWorld(tmp_path, to(wms, max_concurrency=1)) as world:
            publish(world.database, "r1", skus(30))
            await world.visit()
            assert said in world.health.not_ready["sink wms: stopped"]
            assert "velocity sinks resume wms" in world.health.not_ready["sink wms: stopped"]
        async with DeliveryWorld(tmp_path, to(wms)) as world:
            await world.visit()
            assert sum(wms.statuses.values()) == 1, "a stopped sink is left alone"
            world.database.change(lambda connection: ledger.resume(connection, "wms"))
            await world.visit()
            assert world.health.not_ready == {}
    assert had(wms) == skus(30)
    assert [applied.again for applied in wms.applied.values()] == [1, 0, 0]


@pytest.mark.parametrize("fault", [Fault.WRONG_JSON, Fault.HALF_BODY, Fault.RESET_LATE, Fault.RESET, Fault.ERROR])
async def test_accidents_are_no_drift(tmp_path: Path, fault: Fault) -> None:
    """Half a body, no JSON, a reset: the chunk is sent again and takes effect once."""
    async with FakeWms(FaultScript(first=(fault,))) as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        publish(world.database, "r1", skus(10))
        await world.visit()
        assert (had(wms), len(wms.applied)) == (skus(10), 1)


async def test_a_refused_chunk_fails_alone_and_the_next_run_covers_it(tmp_path: Path) -> None:
    """There is a record with the answer; what else there is is delivered; the record ends as superseded."""
    script = FaultScript(first=(None, Fault.REFUSED, None))
    async with FakeWms(script) as wms, DeliveryWorld(tmp_path, to(wms, max_concurrency=1)) as world:
        publish(world.database, "r1", skus(30))
        standing = await world.visit()
        assert standing.chunks == {Progress.ACKNOWLEDGED: 2, Progress.FAILED: 1}
        (record,) = world.records()
        assert (record.state, record.retries, record.run_id) == (ChunkState.FAILED, 0, "r1")
        assert record.skus == sorted(skus(30))[10:20]
        assert record.error
        assert (record.error.status, record.error.kind) == (422, "refused")
        assert "1 chunks were given up" in world.health.not_ready["sink wms: failed chunks"]

        publish(world.database, "r2", skus(30))
        await world.visit()
        assert had(wms) == skus(30)
        (record,) = world.records()
        assert record.state is ChunkState.SUPERSEDED
        assert world.health.not_ready == {}
        world.database.change(lambda connection: failed_records.set_told(connection, [record]))
        assert world.records() == []


async def test_a_chunk_that_is_discarded_after_a_retry_was_asked_for_is_not_sent(tmp_path: Path) -> None:
    """Nobody wants it any more; the next run's delivery has its SKUs. The other record says how often."""
    async with FakeWms(FaultScript(first=(Fault.REFUSED,) * 2)) as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        people = Deliveries(world._bench, cast(Any, None), cast(Any, None), cast(Any, None))
        publish(world.database, "r1", skus(20))
        await world.visit()
        unwanted, wanted = sorted(world.records(), key=lambda record: record.skus)
        for record in (unwanted, wanted):
            assert await people.retry(record.chunk_id)
        assert await people.discard(unwanted.chunk_id, "no longer stored")
        standing = await world.visit()
        assert had(wms) == dict.fromkeys(wanted.skus, 1)
        assert standing.chunks == {Progress.FAILED: 1, Progress.ACKNOWLEDGED: 1}
        states = {record.chunk_id: (record.state, record.retries) for record in world.records()}
        assert states == {
            unwanted.chunk_id: (ChunkState.DISCARDED, 0),
            wanted.chunk_id: (ChunkState.DELIVERED, 1),
        }
        publish(world.database, "r2", skus(20))
        await world.visit()
        assert had(wms) == skus(20)


# -- fallbacks ---------------------------------------------------------------------------------------------------------


async def test_the_second_node_takes_over_and_gives_back(tmp_path: Path) -> None:
    """The first that permits a call gets the chunk: the second while the first is away, the first once it is back."""
    async with FakeWms(away=True) as one, FakeWms() as two, DeliveryWorld(tmp_path, to(one, two)) as world:
        publish(world.database, "r1", skus(300))
        standing = await world.visit()
        assert standing.acknowledged
        assert had(two) == skus(300)
        one.away = False
        await asyncio.sleep(0.15)  # the circuit of node one becomes half-open
        publish(world.database, "r2", skus(300, lines=2))
        await world.visit()
        assert len(had(one)) > 200
        assert {**had(two), **had(one)} == skus(300, lines=2)


async def test_chunks_are_dropped_and_delivered_in_order_once_somebody_is_back(tmp_path: Path) -> None:
    """Each is a file of its own, named by its key, that is gone once it is delivered; a stranger's file stays."""
    drop = tmp_path / "drop"
    (drop / "wms").mkdir(parents=True)
    (drop / "wms" / "left-over.json").write_text("{}")
    (drop / "wms" / "README").write_text("ours")
    async with FakeWms(away=True) as wms, DeliveryWorld(tmp_path, to(wms, drop_dir=drop, max_concurrency=1)) as world:
        publish(world.database, "r1", skus(300))
        visiting = asyncio.create_task(world.visit())
        while not visiting.done() and (await _chunks(world)).get(Progress.DROPPED, 0) < 29:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert len(list((drop / "wms").glob("*.json"))) == 30
        wms.away = False
        await visiting
        assert had(wms) == skus(300)
        assert [applied.chunk.chunk for applied in wms.applied.values()] == list(range(1, 31))
        assert [file.name for file in (drop / "wms").iterdir()] == ["README"]
        assert world.records() == []


async def test_a_node_that_stays_away_ends_in_failed_chunks(tmp_path: Path) -> None:
    """Probes are attempts, too: each chunk has so many, then it is recorded, and nothing is tried for ever."""
    retry, breaker = {"transient_base": "PT0.001S", "outage": 2}, {"open": "PT0.001S", "longest_open": "PT0.002S"}
    async with FakeWms(away=True) as wms, DeliveryWorld(tmp_path, to(wms, retry=retry, breaker=breaker)) as world:
        publish(world.database, "r1", skus(200))
        standing = await asyncio.wait_for(world.visit(), 30)
        assert standing.chunks == {Progress.FAILED: 20}
        assert not standing.is_due("r1")
        assert max(record.retries for record in world.records()) <= 3 + 2
        assert wms.statuses.total() <= 20 * (1 + 3 + 2)
        wms.away = False
        publish(world.database, "r2", skus(200))
        await world.visit()
        assert had(wms) == skus(200)


async def _chunks(world: DeliveryWorld) -> dict[str, int]:
    standing = (await world.overview()).standings.get(TARGET)
    return standing.chunks if standing else {}


async def test_sinks_with_nothing_to_do_ask_the_database_nothing(tmp_path: Path) -> None:
    """How all stands is read once for all of them, and again after something was written."""
    ours = SimpleNamespace(book=SimpleNamespace(of=lambda _: [SimpleNamespace(site_id=SITE)]))
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        deliveries = Deliveries(
            world._bench, cast(Any, ours), cast(Any, SimpleNamespace(partitions={})), cast(Any, None)
        )
        before = await deliveries.overview()
        assert await deliveries.overview() is before
        await world._bench.database.write(Database.change, lambda c: ledger.stop(c, "wms", "why not", 0))
        assert (await deliveries.overview()).stopped == {"wms": "why not"}


# -- a thousand chunks -------------------------------------------------------------------------------------------------


async def test_a_thousand_chunks_against_errors_throttling_resets_and_an_outage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is delivered exactly once or recorded as failed; the breaker opens and closes; no connection stays open.

    Time goes sixty times as fast: the outage of a minute takes a second.
    """
    shares = {Fault.ERROR: 0.10, Fault.THROTTLED: 0.05, Fault.RESET: 0.01, Fault.RESET_LATE: 0.01}
    wms = FakeWms(FaultScript(shares, seed=5))
    sink = {"kind": "http", "chunk_skus": 1, "max_concurrency": 12}
    async with wms, DeliveryWorld(tmp_path, {**sink, "urls": [wms.url]}, clock=scaled_clock(60)) as world:
        publish(world.database, "r1", skus(1_000))
        visiting = asyncio.create_task(world.visit())
        while len(wms.applied) < 300:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        wms.away, before = True, sum(wms.statuses.values())
        states: list[str] = []
        for _ in range(100):
            await asyncio.sleep(0.01)
            states += [state.value for state in world.desk.lines.states().values()]
        wms.away, during = False, sum(wms.statuses.values()) - before
        standing = await visiting
        assert list(world.desk.lines.states().values()) == ["closed"]
        failed = {sku for record in world.records() for sku in record.skus}
    effects = Counter(row.sku for applied in wms.applied.values() for row in applied.chunk.rows)
    assert set(effects.values()) == {1}
    assert set(effects) | failed == set(skus(1_000))
    assert len(failed) == standing.chunks.get(Progress.FAILED, 0) < 10
    assert "open" in states
    assert during < 40, "an outage makes no attempts but probes"
    requests = sum(wms.statuses.values())
    assert requests < 2_000
    assert wms.open_connections == 0
    with capsys.disabled():
        print(_table(wms, len(effects), len(failed), during, requests))  # noqa: T201


def _table(wms: FakeWms, delivered: int, failed: int, during: int, requests: int) -> str:
    again = sum(applied.again for applied in wms.applied.values())
    figures = {
        "chunks delivered": delivered,
        "chunks failed": failed,
        "requests": requests,
        "of these in the outage of 60 s": during,
        "chunks sent again after their effect": again,
        **{f"fault {fault}": count for fault, count in sorted(wms.faults.items())},
    }
    return "\n" + "\n".join(f"{what:<40}{count:>6}" for what, count in figures.items())


async def test_sites_that_others_had_are_delivered_anew(tmp_path: Path) -> None:
    """What a sink has of them is not known any more: it gets all that there is, and loses all that there is not."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        publish(world.database, "r1", skus(25))
        await world.visit()
        row = wms.rows.pop((SITE, "SKU-00003"))
        strangers = ("A", "SKU-00009+", "SKU-00014A", "Z", "Ω")
        wms.rows |= {(SITE, sku): row for sku in strangers} | {("S2", "Z"): row}
        world.database.change(lambda connection: ledger.doubt(connection, [SITE]))
        await world.visit()
        assert {sku: row.order_lines for (site, sku), row in wms.rows.items() if site == SITE} == skus(25)
        assert ("S2", "Z") in wms.rows
        ranges = {(span.after, span.until) for one in list(wms.applied.values())[-3:] for span in one.chunk.covers}
        assert ranges == {(None, "SKU-00009"), ("SKU-00009", "SKU-00019"), ("SKU-00019", None)}
        publish(world.database, "r2", skus(25, lines=2))
        await world.visit()
        assert list(wms.applied.values())[-1].chunk.covers == [], "what is known needs no ranges"


async def test_gauges_speak_of_no_site_that_another_worker_has(tmp_path: Path) -> None:
    """That one shows it now: what stood here when the site left would never change again."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms)) as world:
        publish(world.database, "r1", skus(25))
        await world.visit()
        await world.visit()
        gauges = {"velocity_delivery_age_seconds": ("wms", SITE), "chunk_success_rate": (SITE, "wms")}
        shown = {name: {tuple(sample) for sample in samples(name)} for name in gauges}
        assert all(tuple(sorted(labels)) in shown[name] for name, labels in gauges.items()), shown
        world.desk._show(await world.overview("OTHER"))
        assert [samples(name) for name in gauges] == [[], []]


def samples(name: str) -> list[list[str]]:
    """The values of labels under which a gauge is shown."""
    return [sorted(one.labels.values()) for family in REGISTRY.collect() for one in family.samples if one.name == name]


async def test_what_was_never_sent_still_bounds_what_is_covered(tmp_path: Path) -> None:
    """Nothing is known of the sink; of the first run only the last chunk arrives; the second has no D, E, F any more.

    first run    A B C | D E F | G H I      the third chunk is acknowledged
    second run   A B C           G H I      and the sink has E5, of which nobody knows
    """
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms, chunk_skus=3)) as world:
        run = publish(world.database, "r1", dict.fromkeys("ABCDEFGHI", 1))
        world.database.change(lambda c: ledger.plan(c, TARGET, run, chunk_skus=3, now_ms=0))
        last = world.database.ask(lambda c: ledger.unsettled(c, TARGET))[-1]
        world.database.change(lambda c: ledger.move(c, last, Progress.ACKNOWLEDGED, attempts=1))
        wms.rows[SITE, "E5"] = cast(Any, None)
        publish(world.database, "r2", {**dict.fromkeys("ABC", 2), **dict.fromkeys("GHI", 1)})
        assert (await world.visit()).acknowledged
        assert set(had(wms)) == set("ABC"), "G, H and I are known to be there"


# -- crashes -----------------------------------------------------------------------------------------------------------


async def run_apart(directory: Path, sink: dict[str, Any], crash_at: str | None = None) -> int:
    """Deliver in a process of its own; returns its exit code."""
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    if crash_at:
        environment[CRASH_AT] = crash_at
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tests / "delivery_runner.py"),
        str(directory),
        json.dumps(sink, default=str),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@pytest.mark.parametrize("crash_at", ["delivery.before_send:20", "delivery.before_acknowledge:20"])
async def test_after_a_kill_in_the_middle_of_forty_chunks_only_unfinished_ones_are_sent(
    tmp_path: Path, crash_at: str
) -> None:
    """By SIGKILL, twice: before a request and after its effect. The WMS saw the effect of each chunk once."""
    async with FakeWms() as wms:
        sink = to(wms, max_concurrency=2)
        async with DeliveryWorld(tmp_path, sink) as world:
            publish(world.database, "r1", skus(400))
        assert await run_apart(tmp_path, sink, crash_at) == -signal.SIGKILL
        before = list(wms.applied)
        assert 18 <= len(before) <= 21
        assert await run_apart(tmp_path, sink) == 0
        assert (had(wms), len(wms.applied)) == (skus(400), 40)
        again = [key for key, applied in wms.applied.items() if applied.again]
        assert set(again) <= set(before)
        assert len(again) <= 2, "no more than were under way"
        assert Counter(row.sku for a in wms.applied.values() for row in a.chunk.rows) == skus(400)


# -- traces ------------------------------------------------------------------------------------------------------------


async def test_one_trace_leads_from_an_order_event_to_the_request(tmp_path: Path) -> None:
    """The batch's `traceparent` is continued by facts, calculation and delivery, which the header names."""
    exporter = InMemorySpanExporter()
    tracing = ExportingTracing(exporter, "test", "w1", sample_ratio=0.0)
    event = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms), tracing=tracing) as world:
        manifest, _ = batch(Source.ORDERS, order("o1", "2026-02-01T00:00:00Z"))
        world.traces.loaded([msgspec.structs.replace(manifest, traceparent=event)], 0.0)
        with world.traces.calculating(SITE, AS_OF_MS, newest=True):
            publish(world.database, "r1", skus(1))
        await world.visit()
        publish(world.database, "r2", skus(1, 2))
        await world.visit()
    tracing.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"facts", "recalculation", "delivery"}
    assert {f"{span.context.trace_id:032x}" for span in spans.values() if span.context} == {event[3:35]}
    context, calculated = spans["delivery"].context, spans["recalculation"].context
    assert context
    assert calculated
    assert spans["delivery"].parent
    assert spans["delivery"].parent.span_id == calculated.span_id
    told = [headers.get("traceparent") for headers in wms.headers]
    assert told == [f"00-{context.trace_id:032x}-{context.span_id:016x}-01", None]


async def test_a_rate_is_kept_however_many_may_be_under_way(tmp_path: Path) -> None:
    """Thirty chunks of ten SKUs at 600 SKUs a second take half a second, but for the last one's own time."""
    async with FakeWms() as wms, DeliveryWorld(tmp_path, to(wms, rate_skus_per_s=600, max_concurrency=12)) as world:
        publish(world.database, "r1", skus(300))
        began = time.monotonic()
        await world.visit()
        assert time.monotonic() - began >= 29 * 10 / 600
        assert had(wms) == skus(300)
