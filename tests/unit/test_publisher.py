"""Publishing: whatever the producer raises, the rows are tried again, if need be by another producer."""

import asyncio

import pytest
from aiokafka.errors import InvalidProducerIdMapping, KafkaError, ProducerFenced

from batcher.outbox import OutboxRow
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

    async def abort() -> None:
        transactions.aborting_transaction()  # as aiokafka does: an assertion, once the producer is of no use
        transactions.complete_transaction()

    monkeypatch.setattr(publisher, "_send", send)
    monkeypatch.setattr(publisher._producer, "abort_transaction", abort)
    monkeypatch.setattr(publisher._producer, "_closed", True)  # it never was open; or it would complain of that
    return publisher


async def test_after_a_refusal_another_producer_has_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction is aborted, but this producer counts records that the broker has not taken."""
    publisher = publisher_that(monkeypatch, fails_with=KafkaError("too large"), for_good=False)
    with pytest.raises(PublicationRefused, match="too large"):
        await publisher.publish(ROWS)
    with pytest.raises(PublisherLost, match="its last publication was refused") as lost:
        await publisher.publish(ROWS)
    assert not lost.value.fenced


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
