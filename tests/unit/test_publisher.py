"""Publishing: whatever the producer raises, the rows are tried again, if need be by another producer."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerIdMapping, KafkaConnectionError, KafkaError, ProducerFenced
from prometheus_client import REGISTRY

from batcher.outbox import OutboxRow
from batcher.publication import ChunkRates
from batcher.publisher import PublicationRefused, Publisher, PublisherLost
from runtime.settings import Settings

ROWS = [OutboxRow(1, "S/rolling_30d/A", "{}")]


def publisher_that(monkeypatch: pytest.MonkeyPatch, *, fails_with: KafkaError, for_good: bool) -> Publisher:
    """A publisher without a broker, whose producer fails to send: for good, as where its sending task has ended."""
    publisher = Publisher(Settings(), 0)
    transactions = publisher._producer._txn_manager
    transactions.set_pid_and_epoch(1, 0)

    async def send(row: OutboxRow, _: object) -> "asyncio.Future":
        if for_good:
            transactions.fatal_error(fails_with)
            transactions.wait_for_transaction_end().exception()  # or the loop complains that nobody asked for it
        raise fails_with

    monkeypatch.setattr(publisher, "_send", send)
    without_a_broker(monkeypatch, publisher._producer)
    return publisher


def without_a_broker(monkeypatch: pytest.MonkeyPatch, producer: AIOKafkaProducer) -> None:
    """It aborts by itself, and never was open: or it would complain that it is not closed."""

    async def abort() -> None:
        producer._txn_manager.aborting_transaction()  # as aiokafka does: an assertion, once it is of no use
        producer._txn_manager.complete_transaction()

    monkeypatch.setattr(producer, "abort_transaction", abort)
    monkeypatch.setattr(producer, "_closed", True)


@pytest.mark.parametrize(
    ("pid", "epoch", "why"),
    [(1, 1, None), (1, 2, "another worker may have"), (2, 1, "another worker may have"), (-1, -1, "no new producer")],
)
async def test_after_a_refusal_another_producer_tries(
    monkeypatch: pytest.MonkeyPatch, pid: int, epoch: int, why: str | None
) -> None:
    """The first one counts records that the broker has not taken. But if somebody else has had a producer of this id in
    between, what that one has published is newer."""
    publisher = publisher_that(monkeypatch, fails_with=KafkaError("too large"), for_good=False)
    with pytest.raises(PublicationRefused, match="too large"):
        await publisher.publish(ROWS)

    async def start(producer: AIOKafkaProducer) -> None:
        if pid < 0:
            raise KafkaConnectionError
        producer._txn_manager.set_pid_and_epoch(pid, epoch)
        without_a_broker(monkeypatch, producer)

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    first = publisher._producer
    with pytest.raises(PublisherLost if why else PublicationRefused, match=why or "too large") as refused:
        await publisher.publish(ROWS)
    assert publisher._producer is not first
    if isinstance(refused.value, PublisherLost):
        assert refused.value.fenced == (pid > 0)


async def test_a_producer_that_is_of_no_use_any_more_loses_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brokers forget a transactional id that was idle for a week; aiokafka can then not even abort."""
    publisher = publisher_that(monkeypatch, fails_with=InvalidProducerIdMapping(), for_good=True)
    with pytest.raises(PublisherLost, match="the abort failed") as lost:
        await publisher.publish(ROWS)
    assert not lost.value.fenced


async def test_a_fence_loses_the_partition_to_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so, since that worker is not to be fenced in turn."""
    publisher = publisher_that(monkeypatch, fails_with=ProducerFenced(), for_good=True)
    with pytest.raises(PublisherLost) as lost:
        await publisher.publish(ROWS)
    assert lost.value.fenced


async def test_who_publishes_hears_at_once_that_the_partition_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed producer never settles its transaction: to wait for that would hold up the other partitions."""
    publisher, sending = Publisher(Settings(), 0), asyncio.Event()
    publisher._producer._txn_manager.set_pid_and_epoch(1, 0)

    async def send(row: OutboxRow, _: object) -> "asyncio.Future":
        sending.set()
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(publisher, "_send", send)
    publishing = asyncio.create_task(publisher.publish(ROWS))
    await sending.wait()
    await publisher.close()
    with pytest.raises(PublisherLost, match="it was closed meanwhile") as lost:
        await asyncio.wait_for(publishing, 5)
    assert not lost.value.fenced
    with pytest.raises(PublisherLost, match="it was closed"):
        await publisher.publish(ROWS)


def test_rates_of_chunks_go_with_their_partition() -> None:
    """Whoever has it next shows them."""
    rates = ChunkRates()
    rates.attempted(ROWS, succeeded=False)
    rates.attempted(ROWS, succeeded=True)
    assert REGISTRY.get_sample_value("chunk_success_rate", {"site_id": "S", "sink": "topic"}) == 0.5
    rates.through()
    rates.forget()
    assert REGISTRY.get_sample_value("chunk_success_rate", {"site_id": "S", "sink": "topic"}) is None
