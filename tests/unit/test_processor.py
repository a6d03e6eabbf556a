"""The batch processor against a real server that misbehaves by script: every SKU is answered once, in order, or said to
have failed; nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from batcher import VelocityBatchProcessor
from batcher.compute_chunks import split
from batcher.compute_client import Patience
from batcher.compute_journal import JournalRefused
from batcher.delivery.circuit import CircuitRules
from batcher.delivery.retries import RetryRules
from batcher.processor import LOOK_AHEAD, RunChanged
from sandbox.wms import FakeCompute, Fault, FaultScript
from schemas.failed_chunks import FailedChunk

SIZE = 5_000
#: The rules of production, a thousand times as fast; a circuit that a few failures in a row do not open.
QUICK = Patience(
    RetryRules(throttled_base_s=0.0015, longest_throttled_s=0.03, longest_retry_after_s=0.01, transient_base_s=0.001),
    CircuitRules(failure_ratio=0.9, open_s=0.01, longest_open_s=0.05),
    outage_s=0.3,
)


@pytest.fixture
async def server() -> AsyncIterator[FakeCompute]:
    """A compute API without faults, so far."""
    async with FakeCompute() as server:
        yield server


def names(count: int) -> list[str]:
    """So many SKUs; some come again."""
    return [f"SKU-{number % (count - count // 10):07}" for number in range(count)]


async def until(fact: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for a fact."""
    for _ in range(int(within_s / 0.005)):
        if fact():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


# -- every SKU once, in order ------------------------------------------------------------------------------------------


async def test_errors_throttling_and_resets_change_no_answer(server: FakeCompute) -> None:
    """A tenth of 200 chunks' requests fail, a twentieth are throttled, one in fifty is reset."""
    faults = {Fault.ERROR: 0.1, Fault.THROTTLED: 0.03, Fault.THROTTLED_SILENTLY: 0.02, Fault.RESET_LATE: 0.02}
    server.script = FaultScript(faults, seed=7)
    skus, failed = names(200 * SIZE - 17), list[FailedChunk]()

    async def note(chunk: FailedChunk) -> None:
        failed.append(chunk)

    async with VelocityBatchProcessor(server.url, patience=QUICK, on_failed=note) as processor:
        rows = await processor.process_full_dataset(skus)
    assert [row["sku"] for row in rows] == skus
    lost = sorted(sku for chunk in failed for sku in chunk.skus)
    assert sorted(row["sku"] for row in rows if row["status"] != "ok") == lost
    assert len(server.asked) == 200, "a chunk keeps its request id, and no two have the same"
    assert min(server.statuses[status] for status in (503, 429, 0)) > 0
    assert server.statuses.total() < 300, "no retry without end"


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.ERROR, Fault.UNAVAILABLE, Fault.BROKEN, Fault.RESET, Fault.HALF_BODY, Fault.WRONG_JSON),
        Fault.THROTTLED,
    ],
)
async def test_what_may_pass_is_tried_again(server: FakeCompute, fault: Fault) -> None:
    """The second attempt succeeds, under the same request id."""
    server.script = FaultScript(first=(fault,))
    async with VelocityBatchProcessor(server.url, patience=QUICK) as processor:
        rows = await processor.fetch_chunk(["A", "B", "A"])
    assert [(row["sku"], row["status"]) for row in rows] == [("A", "ok"), ("B", "ok"), ("A", "ok")]
    assert (len(server.asked), server.statuses.total()) == (1, 2)


@pytest.mark.parametrize(("fault", "attempts"), [(Fault.REFUSED, 1), (Fault.ERROR, 4), (Fault.THROTTLED_SILENTLY, 9)])
async def test_a_chunk_that_is_given_up_is_no_gap(server: FakeCompute, fault: Fault, attempts: int) -> None:
    """Its SKUs are answered as failed, and the record has all that is needed to ask again."""
    server.script = FaultScript(first=(fault,) * attempts)
    failed = asyncio.Queue[FailedChunk]()
    async with VelocityBatchProcessor(server.url, patience=QUICK, site_id="A", on_failed=failed.put) as processor:
        rows = await processor.fetch_chunk(["A", "B"])
    record = failed.get_nowait()
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert f"by script: {fault}" in rows[0]["error"]
    assert server.statuses.total() == attempts
    assert (record.skus, record.retries, record.site_id, record.sink) == (["A", "B"], attempts - 1, "A", "compute")
    assert record.chunk_id == f"compute-{next(iter(server.asked))}"
    assert record.error and record.error.body and "by script" in record.error.body


async def test_an_answer_that_leaves_an_sku_out_is_none(server: FakeCompute) -> None:
    """The chunk fails and says which result is of another SKU."""
    server.lost_sku = "B"
    async with VelocityBatchProcessor(server.url, patience=QUICK) as processor:
        assert (await processor.fetch_chunk(["A", "B"]))[0]["error"] == "1 results for 2 SKUs"
        assert {row["status"] for row in await processor.fetch_chunk(["A", "C"])} == {"ok"}


async def test_the_owner_is_followed_but_not_for_ever(server: FakeCompute) -> None:
    """One worker names another; two that name each other are left alone after a few moves."""
    async with FakeCompute(owner=server.url) as other:
        async with VelocityBatchProcessor(other.url, patience=QUICK) as processor:
            for _ in range(2):
                assert (await processor.fetch_chunk(["A"]))[0]["status"] == "ok"
        assert (other.statuses[421], server.statuses[200]) == (1, 2), "the owner is asked first from then on"
        server.owner = other.url
        async with VelocityBatchProcessor(other.url, patience=QUICK) as processor:
            row = (await processor.fetch_chunk(["A"]))[0]
    assert row["status"] == "failed" and "named another as the owner" in row["error"]


async def test_an_owner_that_is_gone_is_asked_for_again(server: FakeCompute) -> None:
    """Its successor is the worker that was asked at first."""
    async with FakeCompute() as owner, VelocityBatchProcessor(server.url, patience=QUICK) as processor:
        server.owner = owner.url
        await processor.fetch_chunk(["A"])
        owner.away, server.owner = True, None
        assert (await processor.fetch_chunk(["A"]))[0]["status"] == "ok"


# -- one calculation ---------------------------------------------------------------------------------------------------


async def test_all_chunks_are_answered_from_the_run_of_the_first_answer(server: FakeCompute) -> None:
    """A newer instant is calculated meanwhile: whoever got that is asked again, at the pinned one."""
    taken = 0

    def skus() -> Iterator[str]:
        nonlocal taken
        for sku in names(40 * SIZE):
            taken += 1
            yield sku

    server.runs["2026-03-28T15:00:00Z"] = "run-1"
    async with VelocityBatchProcessor(server.url, max_concurrency=2, patience=QUICK) as processor:
        count = 0
        async for _ in processor.stream_dataset(skus()):
            count += 1
            if count == 1:
                server.run_id, server.as_of = "run-2", "2026-03-28T16:00:00Z"
                assert taken <= LOOK_AHEAD * 2 * SIZE, "SKUs are taken as they are needed"
    assert count == 40 * SIZE
    assert {question.get("as_of") for question in server.questions[4:]} == {"2026-03-28T15:00:00Z"}


async def test_runs_are_never_mixed(server: FakeCompute) -> None:
    """The pinned calculation is replaced midway: a stream ends with the reason, a whole data set starts again."""
    first = asyncio.Event()

    def done(_: int) -> None:
        if not first.is_set():
            server.run_id = "run-2"
            first.set()

    async with VelocityBatchProcessor(server.url, max_concurrency=1, patience=QUICK, on_chunk=done) as processor:
        with pytest.raises(RunChanged, match=r"run-1 .* was replaced by run-2"):
            async for _ in processor.stream_dataset(names(10 * SIZE)):
                pass
        first.clear()
        server.run_id = "run-1"
        rows = await processor.process_full_dataset(names(10 * SIZE))
    assert {row["status"] for row in rows} == {"ok"} and len(rows) == 10 * SIZE
    assert len(server.asked) >= 14, "two and two until it is noticed, then all ten"


# -- slots, circuits, and what is left behind --------------------------------------------------------------------------


async def test_waiting_holds_no_slot(server: FakeCompute) -> None:
    """One slot; the first chunk is told to come back in an hour: nine others are answered meanwhile."""
    server.script = FaultScript(first=(Fault.THROTTLED,), retry_after_s=3600)
    patience = Patience(RetryRules(longest_retry_after_s=3600), QUICK.circuit)
    answered = asyncio.Semaphore(0)
    async with VelocityBatchProcessor(
        server.url, max_concurrency=1, patience=patience, on_chunk=lambda _: answered.release()
    ) as processor:
        others = [asyncio.create_task(processor.fetch_chunk([f"S{number}"])) for number in range(10)]
        for _ in range(9):
            await asyncio.wait_for(answered.acquire(), 10)
        assert sum(task.done() for task in others) == 9
        assert server.most_at_once == 1
        for task in others:
            task.cancel()


async def test_a_worker_that_is_down_is_asked_again_when_it_said(server: FakeCompute) -> None:
    """A 503 with `Retry-After: 1`: the second attempt comes no sooner, though the rules would have it at once."""
    server.script = FaultScript(first=(Fault.UNAVAILABLE,), retry_after_s=1)
    patience = Patience(RetryRules(transient_base_s=0.001), QUICK.circuit)
    async with VelocityBatchProcessor(server.url, patience=patience) as processor:
        started = time.monotonic()
        assert (await processor.fetch_chunk(["A"]))[0]["status"] == "ok"
    assert 1 <= time.monotonic() - started < 5
    assert server.statuses == {503: 1, 200: 1}


async def test_never_more_requests_at_once_than_slots(server: FakeCompute) -> None:
    """And as many as that."""
    server.script = FaultScript(latency_s=0.01)
    async with VelocityBatchProcessor(server.url, max_concurrency=3, patience=QUICK) as processor:
        await processor.process_full_dataset(names(20 * SIZE))
    assert server.most_at_once == 3


async def test_an_outage_opens_the_circuit_and_its_end_closes_it(server: FakeCompute) -> None:
    """While the host is away few requests are made; when it is back all that is left is answered."""
    server.away = True
    patience = Patience(RetryRules(transient_retries=30, transient_base_s=1e-9), QUICK.circuit, outage_s=60)
    async with VelocityBatchProcessor(server.url, patience=patience) as processor:
        working = asyncio.create_task(processor.process_full_dataset(names(30 * SIZE)))
        await asyncio.sleep(0.5)
        tried = server.statuses[0]
        server.away = False
        rows = await asyncio.wait_for(working, 30)
    assert {row["status"] for row in rows} == {"ok"}
    assert tried < 120, "without the circuit it would be thousands"


async def test_a_host_that_stays_away_is_given_up(server: FakeCompute) -> None:
    """Every chunk becomes a failed one within bounded time, most of them without a request."""
    server.away = True
    async with VelocityBatchProcessor(server.url, patience=QUICK) as processor:
        rows = await asyncio.wait_for(processor.process_full_dataset(names(100 * SIZE)), 30)
    assert len(rows) == 100 * SIZE
    assert {row["status"] for row in rows} == {"failed"}
    assert server.statuses.total() < 200


@pytest.mark.parametrize("how", ["cancelled", "closed", "abandoned"])
async def test_an_early_end_leaves_no_task_and_no_connection(server: FakeCompute, how: str) -> None:
    """In the middle of requests, retries and waits."""
    server.script = FaultScript(
        {Fault.ERROR: 0.2, Fault.THROTTLED: 0.2}, (None,) * 12, retry_after_s=60, latency_s=0.02
    )
    patience = Patience(RetryRules(longest_retry_after_s=60), QUICK.circuit)
    before = asyncio.all_tasks()
    started = asyncio.Event()
    processor = VelocityBatchProcessor(server.url, patience=patience, on_chunk=lambda _: started.set())
    async with processor:
        if how == "abandoned":
            rows = processor.stream_dataset(names(100 * SIZE))
            await anext(rows)
        else:
            working = asyncio.create_task(processor.process_full_dataset(names(100 * SIZE)))
            await asyncio.wait_for(started.wait(), 10)
        if how == "cancelled":
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            assert not [task for task in asyncio.all_tasks() if (task.get_name() or "").startswith("chunk")]
    if how == "closed":
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    if how == "abandoned":
        await rows.aclose()
    await until(lambda: not server.open_connections and not server.at_once)
    left = [task for task in asyncio.all_tasks() - before if "web" not in repr(task.get_coro())]
    assert not [task for task in left if "RequestHandler" not in repr(task)]


# -- the journal -------------------------------------------------------------------------------------------------------

_CHILD = """
import asyncio, sys
from pathlib import Path
from batcher import VelocityBatchProcessor

async def main():
    skus = [f"SKU-{number:07}" for number in range(40 * 5000)]
    async with VelocityBatchProcessor(sys.argv[1], max_concurrency=4, journal=Path(sys.argv[2])) as processor:
        print(len(await processor.process_full_dataset(skus)))

asyncio.run(main())
"""


async def test_after_sigkill_only_unfinished_chunks_are_asked_for_again(server: FakeCompute, tmp_path: Path) -> None:
    """In the middle of 40 chunks; the second run asks under the same request ids, and for the rest only."""
    server.script = FaultScript(latency_s=0.05)
    journal = tmp_path / "journal"
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), server.url, str(journal)]
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    await until(lambda: server.statuses[200] >= 15)
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    finished = journal.read_bytes().count(b"\n") - 1
    first = dict(server.asked)
    server.asked.clear()
    server.script = FaultScript()
    again = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    out, _ = await again.communicate()
    assert (again.returncode, int(out)) == (0, 40 * SIZE)
    assert 5 < finished < 40
    assert len(server.asked) == 40 - finished
    assert len({**first, **server.asked}) == 40


async def test_a_journal_that_was_torn_or_damaged_costs_those_chunks_only(server: FakeCompute, tmp_path: Path) -> None:
    """A byte flipped in one line, half of the last one lost: two chunks are asked for again."""
    journal, skus = tmp_path / "journal", names(6 * SIZE)
    for expected in (6, 0):
        server.asked.clear()
        async with VelocityBatchProcessor(server.url, journal=journal) as processor:
            rows = await processor.process_full_dataset(skus)
        assert len(server.asked) == expected
    content = bytearray(journal.read_bytes())
    content[content.index(b"\n", 1_000) - 100] ^= 1
    journal.write_bytes(content[:-1_000])
    async with VelocityBatchProcessor(server.url, journal=journal) as processor:
        assert await processor.process_full_dataset(skus) == rows
    assert len(server.asked) == 2


async def test_a_journal_of_another_question_is_refused(server: FakeCompute, tmp_path: Path) -> None:
    """As is one that another process writes, and a file that is none."""
    journal = tmp_path / "journal"
    async with VelocityBatchProcessor(server.url, journal=journal) as processor:
        await processor.process_full_dataset(["A"])
        stream = processor.stream_dataset(["A", "B"])
        await anext(stream)
        with pytest.raises(JournalRefused, match="another process"):
            await processor.process_full_dataset(["A"])
        await stream.aclose()
    async with VelocityBatchProcessor(server.url, batch_size=6_000, journal=journal) as processor:
        with pytest.raises(JournalRefused, match=r"chunks of 5000, not of .* chunks of 6000"):
            await processor.process_full_dataset(["A"])
    journal.write_text("sku\nA\n")
    async with VelocityBatchProcessor(server.url, journal=journal) as processor:
        with pytest.raises(JournalRefused, match="is no journal"):
            await processor.process_full_dataset(["A"])
    assert journal.read_text() == "sku\nA\n"


async def test_a_journal_of_a_run_that_was_replaced_begins_again(server: FakeCompute, tmp_path: Path) -> None:
    """Half of the answers are of the old run: all chunks are asked for again."""
    journal, skus = tmp_path / "journal", names(4 * SIZE)
    async with VelocityBatchProcessor(server.url, journal=journal, patience=QUICK) as processor:
        await processor.process_full_dataset(skus[: 2 * SIZE])
        server.run_id = "run-2"
        server.asked.clear()
        await processor.process_full_dataset(skus)
    assert len(server.asked) >= 4
    assert journal.read_bytes().count(b'"run-2"') == 4 and b'"run-1"' not in journal.read_bytes()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"batch_size": 4_999}, "not from 5,000 to 20,000"),
        ({"batch_size": 20_001}, "not from 5,000 to 20,000"),
        ({"max_concurrency": 0}, "not from 1 to 50"),
        ({"max_concurrency": 51}, "not from 1 to 50"),
        ({"base_url": "127.0.0.1:8080"}, "not an address"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object], says: str) -> None:
    """With what would come of them."""
    values: dict[str, object] = {"base_url": "http://a"} | arguments
    with pytest.raises(ValueError, match=says):
        VelocityBatchProcessor(**values)  # type: ignore[arg-type]


def test_request_ids_are_of_a_data_set_a_chunk_and_its_skus() -> None:
    """The same again for the same, another for anything else; chunks are cut as they are taken."""
    endless = (str(number) for number in iter(int, 1))
    first = [chunk.request_id for chunk in islice(split(endless, 3, "a"), 2)]
    assert first == [chunk.request_id for chunk in split(["0"] * 6, 3, "a")]
    assert len({*first, *(chunk.request_id for chunk in split(["0"] * 6, 3, "b"))}) == 4
    assert [len(chunk.skus) for chunk in split("abcde", 2, "a")] == [2, 2, 1]
