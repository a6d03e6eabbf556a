"""The batch worker as a process, on a real broker: what stream workers announce becomes coefficients, exactly once."""

import asyncio
import io
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batch_world import HOUR, NOON, BatchWorker, BatchWorld, Order
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from pipeline_world import PipelineWorld, until

from batcher import VelocityBatchProcessor
from runtime.partitioning import partition_of
from sandbox.kafka import EmbeddedKafka
from schemas.records import BatchKind, OpenWindow
from schemas.reference import Item, encode_reference
from schemas.sources import Source

PARTITIONS = 2
#: A site on each partition of the batches topic.
LEFT, RIGHT = (next(s for s in "ABCDEFGH" if partition_of(s, PARTITIONS) == number) for number in range(PARTITIONS))


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator[BatchWorld]:
    """Topics, a store, and nothing running yet."""
    pipeline = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    yield BatchWorld(pipeline)
    pipeline.close()


@pytest.fixture
def port() -> Callable[[], int]:
    """Ports that nobody listens on."""

    def free() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return free


def orders(count: int, site_id: str, *, prefix: str = "o", start_ms: int = NOON) -> list[Order]:
    """Orders of ten SKUs, one a minute; the SKU's number is how often it comes per round."""
    return [
        Order(f"{prefix}{number}", f"SKU-{number % 10}", start_ms + number * 60_000, 1 + number % 3, site_id)
        for number in range(count)
    ]


def lines(facts: list[Order], site_id: str, until_ms: int) -> Counter[str]:
    """Order lines per SKU, counted independently: each event id once."""
    unique = {order.event_id: order for order in facts if order.site_id == site_id and order.at_ms < until_ms}
    return Counter(order.sku for order in unique.values())


def published_lines(world: BatchWorld, site_id: str) -> Counter[str]:
    """Order lines per SKU as the coefficients topic has them."""
    return Counter(
        {row.sku: row.order_lines for row in world.published().values() if row is not None and row.site_id == site_id}
    )


def everything(world: BatchWorld) -> dict[str, Any]:
    """What the coefficients topic says by key, in full: run ids included."""
    return dict(world.published())


def both(worker: BatchWorker) -> list[str | None]:
    """The instants of the two sites' newest calculations."""
    return [worker.as_of(LEFT), worker.as_of(RIGHT)]


def processed(url: str, site_id: str, skus: list[str], token: str | None = None) -> list[dict[str, Any]]:
    """Rows of a batch processor that knows this worker."""

    async def ask() -> list[dict[str, Any]]:
        async with VelocityBatchProcessor(url, site_id=site_id, token=token) as processor:
            return await processor.process_full_dataset(skus)

    return asyncio.run(ask())


# -- from batches to coefficients --------------------------------------------------------------------------------------


def test_announced_batches_become_coefficients(world: BatchWorld, port: Callable[[], int]) -> None:
    """Up to the last window that every source has passed. A correction counts, facts that come again do not, and only
    rows that changed are published again."""
    facts = orders(240, LEFT)
    worker = world.start("b1", port())
    world.checkpoint(Source.ORDERS, NOON + 5 * HOUR, facts)
    world.pass_all(NOON + 3 * HOUR)
    worker.until_ready()
    until_ms = NOON + 3 * HOUR
    assert until(lambda: published_lines(world, LEFT) == lines(facts, LEFT, until_ms)), world.published()
    records = world.publications()

    late = [*facts[:5], Order("late", "SKU-3", NOON + 7, 2.0, LEFT)]
    world.checkpoint(Source.ORDERS, NOON + 5 * HOUR, late, kind=BatchKind.CORRECTION)
    assert until(lambda: published_lines(world, LEFT) == lines([*facts, *late], LEFT, until_ms))
    assert world.publications() == records + 1, "only SKU-3 has changed"

    last = OpenWindow(
        site_id=LEFT, start=NOON + 5 * HOUR, end=NOON + 6 * HOUR, first_offset=0, count=7, offsets_hash="0" * 16
    )
    world.checkpoint(Source.ORDERS, NOON + 5 * HOUR, opened=[last])
    assert until(lambda: worker.ask("/api/v1/windows")[1]["rows"][0]["state"] == "open")
    status, body = worker.ask("/api/v1/windows")
    states = Counter(row["state"] for row in body["rows"])
    assert (status, states) == (200, {"complete": 3, "closed": 1, "open": 1})
    assert (body["rows"][0]["start"], body["rows"][0]["open_records"]) == ("2026-03-28T17:00:00Z", 7)
    assert body["rows"][-1]["corrections"] == 1


def test_the_api_answers_and_refuses_as_it_says(world: BatchWorld, port: Callable[[], int]) -> None:
    """Results in the order of the request; every refusal is JSON with a word for programs and a sentence for people."""
    worker = world.start("b1", port())
    world.checkpoint(Source.ORDERS, NOON + 5 * HOUR, orders(240, LEFT))
    world.pass_all(NOON + 3 * HOUR)
    worker.until_ready()
    assert until(lambda: worker.as_of(LEFT) == "2026-03-28T15:00:00Z"), worker.worker.text

    status, body = worker.compute("sku-7 ", "nothing", "SKU-1")
    assert status == 200
    assert [(row["sku"], row["status"]) for row in body["results"]] == [
        ("sku-7 ", "ok"),
        ("nothing", "unknown"),
        ("SKU-1", "ok"),
    ]
    assert (body["site_id"], body["results"][0]["order_lines"], body["coverage"]) == (LEFT, 18, 1.0)

    status, body = worker.ask("/api/v1/explain?sku=sku-7")
    (told,) = body["rows"]
    assert (status, told["site_id"], told["sku"], told["result"]["order_lines"]) == (200, LEFT, "SKU-7", 18)
    assert sum(row["normalized_lines"] for row in told["factors"]) == 18
    assert told == worker.ask(f"/api/v1/explain?sku=SKU-7&site_id={LEFT}&as_of=2026-03-28T15:00:00Z")[1]["rows"][0]
    assert worker.ask("/api/v1/explain?sku=nothing")[0] == 404

    refusals = {
        400: [
            worker.ask("/api/v1/explain"),
            worker.compute(),
            worker.ask("/api/v1/velocity/compute", {"skus": "SKU-1"}),
            worker.compute("x" * 257),
            worker.compute("SKU-1", window="rolling_9d"),
            worker.compute("SKU-1", as_of="yesterday"),
            worker.compute("SKU-1", site="A"),
            worker.ask("/api/v1/runs?limit=none"),
        ],
        404: [
            worker.compute("SKU-1", site_id=LEFT, as_of="2026-03-28T14:00:00Z"),
            worker.compute("SKU-1", site_id=RIGHT),
            worker.ask("/api/v1/nothing"),
        ],
        409: [worker.ask("/api/v1/recalc", {"as_of": "2026-03-28T15:00:01Z"})],
        413: [worker.compute("x" * (8 << 20))],
    }
    for wanted, answers in refusals.items():
        for status, body in answers:
            assert status == wanted and body["error"] and body["message"], (wanted, status, body)
    assert "velocity recalc --as-of 2026-03-28T14:00:00Z" in refusals[404][0][1]["message"]
    assert refusals[409][0][1]["sites"][0]["complete_until"] == "2026-03-28T15:00:00Z"

    for as_of, partial in (("2026-03-28T14:00:00Z", False), ("2026-03-28T16:00:00Z", True)):
        status, body = worker.ask("/api/v1/recalc", {"as_of": as_of, "partial": partial})
        assert (status, body["runs"][0]["coverage"]) == (200, 0.75 if partial else 1.0)
        assert worker.compute("SKU-1", as_of=as_of)[1]["run_id"] == body["runs"][0]["run_id"]
    assert worker.as_of(LEFT) == "2026-03-28T15:00:00Z", "what is older or partial is not the newest"

    _, stream = worker.ask("/api/v1/coefficients", accept="application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(io.BytesIO(stream)).read_all()
    assert table.to_pydict()["sku"] == worker.ask("/api/v1/coefficients")[1]["columns"]["sku"]
    assert worker.ask("/livez")[0] == 200
    text = worker.ask("/metrics")[1].decode()
    for name in ("batch_processing_duration_seconds_count", "chunk_success_rate", "concurrency_utilization"):
        assert name in text


def test_reference_data_releases_held_facts(world: BatchWorld, port: Callable[[], int]) -> None:
    """A fact in a unit that nobody has defined is held and shown; once its row arrives, it is counted by itself."""
    worker = world.start("b1", port())
    boxed = Order("boxed", "SKU-0", NOON + 5, 2.0, LEFT, uom="BX")
    world.checkpoint(Source.ORDERS, NOON + 5 * HOUR, [*orders(10, LEFT), boxed])
    world.pass_all(NOON + HOUR)
    worker.until_ready()
    assert until(lambda: worker.compute("SKU-0")[0] == 200), worker.worker.text
    assert worker.compute("SKU-0")[1]["results"][0]["units_ordered"] == 1.0
    assert worker.ask("/api/v1/facts/held")[1]["columns"]["event_id"] == ["boxed"]
    [(path, _)] = world.store.list()
    (file := world.world.directory / "store" / path).rename(aside := file.with_suffix(".aside"))
    held = worker.ask("/api/v1/facts/held")[1]["columns"]
    assert (held["sku"], held["event_id"]) == (["SKU-0"], [None]), "only the ids of held facts are in their files"
    aside.rename(file)

    producer = Producer({"bootstrap.servers": world.world.bootstrap})
    for unit, size in (("EA", 1), ("BX", 12)):
        item = Item(sku="SKU-0", uom=unit, base_units=Decimal(size))
        producer.produce(world.world.topic("velocity.reference.v1"), encode_reference(item), key=item.key)
    producer.flush(10)
    assert until(lambda: worker.compute("SKU-0")[1]["results"][0]["units_ordered"] == 25.0), worker.worker.text
    assert worker.ask("/api/v1/facts/held")[1]["columns"]["event_id"] == []


# -- crashes and losses ------------------------------------------------------------------------------------------------


def test_killed_at_every_named_point_nothing_is_lost_or_doubled(world: BatchWorld, port: Callable[[], int]) -> None:
    """SIGKILL before and after the DuckDB commit, before and after the Kafka commit, one after the other, always with
    more to do: every start goes on from there, and the coefficients topic gets each result once."""
    facts: list[Order] = []
    points = ("batch.before_commit", "batch.after_commit", "batch.before_publish", "batch.after_publish")
    for number, point in enumerate(points):
        fresh = orders(60, LEFT, prefix=f"{point}-", start_ms=NOON + number * HOUR)
        facts += fresh
        world.checkpoint(Source.ORDERS, NOON + (number + 1) * HOUR, fresh)
        world.pass_all(NOON + (number + 1) * HOUR)
        killed = world.start("b1", port(), VELOCITY_CRASH_AT=point).worker
        assert until(lambda k=killed: not k.running, 30, 0.05), killed.text
        assert killed.process.returncode == -9, killed.text
    assert world.publications() == 10, "the last one had committed"
    worker = world.start("b1", port())
    worker.until_ready()
    assert until(lambda: "calculated before" in worker.worker.text), worker.worker.text
    assert worker.worker.terminate() == 0
    assert published_lines(world, LEFT) == lines(facts, LEFT, NOON + 4 * HOUR)
    assert world.publications() == 10


def test_a_lost_database_is_rebuilt_to_the_same_coefficients(world: BatchWorld, port: Callable[[], int]) -> None:
    """From the topic's start and the store; nothing is published again, since it finds there what it would publish."""
    for number in range(4):
        for site in (LEFT, RIGHT):
            fresh = orders(60, site, prefix=f"{site}{number}-", start_ms=NOON + number * HOUR)
            world.checkpoint(Source.ORDERS, NOON + (number + 1) * HOUR, fresh)
    world.pass_all(NOON + 4 * HOUR)
    worker = world.start("b1", port())
    assert until(lambda: [worker.as_of(s) for s in (LEFT, RIGHT)] == ["2026-03-28T16:00:00Z"] * 2, 30), (
        worker.worker.text
    )
    before = until(lambda: len(world.published()) == 20 and everything(world))
    records = world.publications()
    assert worker.worker.terminate() == 0
    (world.world.directory / "state-b1" / "velocity.duckdb").unlink()

    rebuilt = world.start("b1", port())
    assert until(lambda: both(rebuilt) == ["2026-03-28T16:00:00Z"] * 2), rebuilt.worker.text
    _, body = rebuilt.ask("/api/v1/coefficients")
    run_ids = dict(zip(body["columns"]["site_id"], body["columns"]["run_id"], strict=True))
    assert run_ids == {row.site_id: row.run_id for row in before.values()}
    world.checkpoint(
        Source.ORDERS, NOON + 4 * HOUR, [Order("late", "SKU-1", NOON, 1.0, LEFT)], kind=BatchKind.CORRECTION
    )
    changed = f"{LEFT}/rolling_30d/SKU-1"
    assert until(lambda: everything(world)[changed].order_lines == before[changed].order_lines + 1), rebuilt.worker.text
    assert world.publications() == records + 1


def test_a_missing_or_damaged_file_holds_its_site_alone(world: BatchWorld, port: Callable[[], int]) -> None:
    """The other site of the same partition goes on. Restored, the file is loaded without a restart; a restart before
    that does not forget it."""
    other = next(s for s in "JKLMNOPQRSTUVWXYZ" if partition_of(s, PARTITIONS) == partition_of(LEFT, PARTITIONS))
    broken = world.checkpoint(Source.ORDERS, NOON + HOUR, orders(60, LEFT))[0]
    file = world.world.directory / "store" / broken.path
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    world.checkpoint(Source.ORDERS, NOON + HOUR, orders(60, other, prefix="p"))
    world.pass_all(NOON + HOUR)
    worker = world.start("b1", port())
    expected = lines(orders(60, other), other, NOON + HOUR)
    assert until(lambda: published_lines(world, other) == expected), worker.worker.text
    status, body = worker.ask("/readyz")
    assert status == 503
    assert broken.batch_id in body["reasons"][f"site {LEFT}"] and "SHA-256" in body["reasons"][f"site {LEFT}"]
    status, body = worker.compute("SKU-1", site_id=LEFT)
    assert (status, body["error"]) == (503, "not_ready") and "held" in body["message"]
    assert published_lines(world, LEFT) == {}

    assert worker.worker.terminate() == 0
    file.unlink()
    worker = world.start("b1", port())
    assert until(lambda: "is not in the batch store" in str(worker.ask("/readyz")[1])), worker.worker.text
    assert until(lambda: worker.compute("SKU-1", site_id=other)[0] == 200), worker.worker.text
    file.write_bytes(content)
    assert until(lambda: published_lines(world, LEFT) == lines(orders(60, LEFT), LEFT, NOON + HOUR)), worker.worker.text
    worker.until_ready()


def test_a_topic_that_refused_coefficients_gets_them_once_it_takes_them(
    world: BatchWorld, port: Callable[[], int]
) -> None:
    """A refused producer is of no use any more: the broker would refuse all that it sends after that. Another one does
    it, without a restart. Meanwhile the worker keeps its partition, and answers."""
    worker = world.start("b1", port())
    facts = orders(60, LEFT)
    limit(world, "100")
    world.checkpoint(Source.ORDERS, NOON + HOUR, facts)
    world.pass_all(NOON + HOUR)
    assert until(lambda: "cannot be published" in str(worker.ask("/readyz")[1])), worker.worker.text
    assert until(lambda: worker.metric("velocity_publication_failures_total") >= 3), worker.worker.text
    assert "cannot be published" in str(worker.ask("/readyz")[1])
    assert worker.compute("SKU-1", site_id=LEFT)[0] == 200
    assert "partition lost" not in worker.worker.text
    limit(world, "1048588")
    assert until(lambda: published_lines(world, LEFT) == lines(facts, LEFT, NOON + HOUR)), worker.worker.text
    worker.until_ready()
    assert world.publications() == 10


def limit(world: BatchWorld, largest_bytes: str) -> None:
    """How large a message of coefficients may be."""
    entry = ConfigEntry("max.message.bytes", largest_bytes, incremental_operation=AlterConfigOpType.SET)
    topic = world.world.topic("velocity.coefficients.v1")
    wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": world.world.bootstrap})
    admin.incremental_alter_configs([wanted])[wanted].result(10)


# -- several workers ---------------------------------------------------------------------------------------------------


def test_two_workers_share_the_sites_and_one_takes_over(world: BatchWorld, port: Callable[[], int]) -> None:
    """A worker that does not own a site names the owner; when that is killed, the other rebuilds the site and goes on,
    and nothing is published twice. All of it with tokens: whoever has none gets no answer, and workers ask each other
    with theirs."""
    token = world.want_tokens()
    for site in (LEFT, RIGHT):
        world.checkpoint(Source.ORDERS, NOON + HOUR, orders(60, site))
    world.pass_all(NOON + HOUR)
    workers = [world.start("b1", port()), world.start("b2", port())]

    def owners() -> dict[int, str]:
        _, body = workers[0].ask("/api/v1/owners")
        return {p: owner["url"] for owner in (body or {}).get("owners", []) for p in owner["partitions"]}

    assert until(lambda: set(owners().values()) == {worker.url for worker in workers}, 30), workers[0].worker.text
    by_url = {worker.url: worker for worker in workers}
    left, right = (by_url[owners()[number]] for number in range(PARTITIONS))
    assert until(lambda: left.as_of(LEFT) and right.as_of(RIGHT)), left.worker.text
    status, body = left.compute("SKU-1", site_id=RIGHT)
    assert (status, body["error"], body["owner"]) == (421, "wrong_owner", right.url)
    assert BatchWorker(left.url, left.worker).ask("/api/v1/sites")[0] == 401
    assert left.compute("SKU-1")[0] == 400, "there are two sites, and each worker knows of the other's"
    assert processed(left.url, RIGHT, ["SKU-1", "none"], token) == [
        *right.compute("SKU-1", "none", site_id=RIGHT)[1]["results"]
    ]
    assert until(lambda: world.publications() == 20), (
        world.publications(),
        *(worker.worker.text for worker in workers),
    )

    right.worker.kill()
    assert until(lambda: left.as_of(RIGHT), 30), left.worker.text
    fresh = orders(60, RIGHT, prefix="q", start_ms=NOON + HOUR)
    world.checkpoint(Source.ORDERS, NOON + 2 * HOUR, fresh)
    world.pass_all(NOON + 2 * HOUR)
    expected = lines([*orders(60, RIGHT), *fresh], RIGHT, NOON + 2 * HOUR)
    assert until(lambda: published_lines(world, RIGHT) == expected), left.worker.text
    assert world.publications() == 30, "ten SKUs of each site, and those of the one that has more lines now"


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_it_refuses_to_start_where_data_is_in_danger(world: BatchWorld, port: Callable[[], int]) -> None:
    """A missing topic, and a batches topic that is not the one the database was filled from: exit 3, and what to do."""
    worker = world.start("b1", port())
    world.checkpoint(Source.ORDERS, NOON + HOUR, orders(10, LEFT))
    worker.until_ready()
    assert worker.worker.terminate() == 0
    admin = AdminClient({"bootstrap.servers": world.world.bootstrap})
    topic = world.world.topic("velocity.batches.v1")
    admin.delete_topics([topic])[topic].result(10)

    missing = world.start("b1", port()).worker
    assert missing.process.wait(20) == 3, missing.text
    assert f"{topic} is missing" in missing.text and "velocity topics apply" in missing.text

    again = NewTopic(topic, PARTITIONS, 1, config={"retention.ms": "-1", "retention.bytes": "-1"})
    assert until(lambda: _created(admin, again), 20)
    recreated = world.start("b1", port()).worker
    assert recreated.process.wait(20) == 3, recreated.text
    assert "was recreated" in recreated.text and "move its database file away" in recreated.text


def _created(admin: AdminClient, topic: NewTopic) -> bool:
    """Whether a topic could be created: the broker may still be deleting the one before."""
    return admin.create_topics([topic])[topic.topic].exception(10) is None


def test_a_malformed_manifest_holds_its_partition_and_is_never_skipped(
    world: BatchWorld, port: Callable[[], int]
) -> None:
    """What stands behind it waits; the other partition goes on."""
    world.checkpoint(Source.ORDERS, NOON + HOUR, orders(60, LEFT))
    producer = Producer({"bootstrap.servers": world.world.bootstrap})
    producer.produce(
        world.world.topic("velocity.batches.v1"), b"{}", key=LEFT, partition=partition_of(LEFT, PARTITIONS)
    )
    producer.flush(10)
    world.checkpoint(Source.ORDERS, NOON + HOUR, orders(60, RIGHT))
    world.pass_all(NOON + HOUR)
    worker = world.start("b1", port())
    expected = lines(orders(60, RIGHT), RIGHT, NOON + HOUR)
    assert until(lambda: published_lines(world, RIGHT) == expected), worker.worker.text
    assert "is no manifest" in worker.ask("/readyz")[1]["reasons"]["partition 0"]
    assert worker.compute("SKU-1", site_id=LEFT)[0] == 503
    assert worker.compute("SKU-1", site_id=RIGHT)[0] == 200
