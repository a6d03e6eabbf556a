"""The batch worker as a process, on a real broker: what stream workers announce becomes coefficients, once and exactly."""

import io
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batch_world import HOUR, NOON, BatchWorker, BatchWorld, Order
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pipeline_world import PipelineWorld, until

from runtime.connections import partition_of
from sandbox.kafka import EmbeddedKafka
from schemas.records import BatchKind
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


def snapshot(world: BatchWorld) -> dict[str, Any]:
    """Everything that the coefficients topic says, without who calculated it when."""
    return {key: value for key, value in world.published().items()}


# -- from batches to coefficients --------------------------------------------------------------------------------------


def test_announced_batches_become_coefficients(world: BatchWorld, port: Callable[[], int]) -> None:
    """Up to the last window that every source has passed; a correction, a duplicate, and facts on hold for want of a
    unit are counted when they should be, and only changed rows are published again."""
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

    status, body = worker.ask("/api/v1/windows")
    states = Counter(row["state"] for row in body["rows"])
    assert (status, states) == (200, {"complete": 3, "closed": 1})
    assert body["rows"][-1]["corrections"] == 1
