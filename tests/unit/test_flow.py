"""What the page Flow is made of: partitions, open windows, accounts and workers, as a reader can check by hand."""

from typing import Any

import msgspec
import pytest

from console.insight.flow import Flow, accounts_of, open_spans, partition_rows, worker_state
from console.readings import samples_of
from console.top import Reading
from schemas.records import Counts, Frontier, OpenWindow
from schemas.sources import Source

NOW = 1_700_000_000_000
HOUR = 3_600_000


def frontier(partition: int, **changes: Any) -> Frontier:
    """A partition of the orders that has read 100 records, one of them refused, and has ten in an open window."""
    whole = Frontier(
        source=Source.ORDERS,
        source_topic="orders",
        source_partition=partition,
        topic_id="i",
        checkpoint_seq=3,
        position=100,
        frontier=NOW - 60_000,
        max_event_time=NOW - 50_000,
        committed=90,
        settings_hash="h",
        manifests={},
        open_windows=(opened("A", NOW - HOUR, 10),),
        counts=Counts(delivered=100, batched=84, corrected=5, dead=1, gap=0),
        worker_id="w",
        pipeline_version="0",
        checkpoint_at=NOW - 4_000,
    )
    return msgspec.structs.replace(whole, **changes)


def opened(site: str, start: int, count: int) -> OpenWindow:
    return OpenWindow(site_id=site, start=start, end=start + HOUR, first_offset=0, count=count, offsets_hash="0")


def test_a_partition_says_how_far_it_lags_in_records_and_in_time() -> None:
    """The log ends at 130, so 30 records are to be read; the frontier is a minute behind the clock."""
    (row,) = partition_rows({"orders/0": frontier(0)}, {"orders/0": 130}, {"orders": "orders"}, NOW)
    assert (row.lag_records, row.event_lag_s, row.checkpoint_age_s) == (30, 60, 4)
    assert (row.open_windows, row.open_records, row.dead, row.corrected) == (1, 10, 1, 5)
    assert row.state == "reading"


@pytest.mark.parametrize(
    ("changes", "end", "state"),
    [({}, 100, "at the end"), ({"idle": True}, 100, "idle"), ({"position": 140}, 130, "at the end")],
)
def test_a_partition_is_described_in_a_word(changes: dict[str, Any], end: int, state: str) -> None:
    """An end that was read before the checkpoint gives no lag below nothing."""
    (row,) = partition_rows({"orders/0": frontier(0, **changes)}, {"orders/0": end}, {"orders": "orders"}, NOW)
    assert row.state == state
    assert row.lag_records == 0


def test_a_partition_that_nobody_has_read_is_listed_with_all_of_its_log() -> None:
    """In the order of their numbers, not of their texts."""
    rows = partition_rows({"orders/2": frontier(2)}, {"orders/10": 7, "orders/2": 100}, {"orders": "orders"}, NOW)
    assert [row.partition for row in rows] == ["orders/2", "orders/10"]
    assert (rows[1].state, rows[1].lag_records, rows[1].position) == ("never read", 7, None)


def test_open_windows_are_added_up_over_partitions_the_earliest_first() -> None:
    """Two partitions hold the same window; only so many windows are drawn."""
    late = opened("A", NOW, 1)
    frontiers = [frontier(0), frontier(1, open_windows=(late, opened("A", NOW - HOUR, 7)))]
    spans = open_spans(frontiers)
    assert [(span.start, span.records, span.partitions) for span in spans] == [(NOW - HOUR, 17, 2), (NOW, 1, 1)]
    assert open_spans(frontiers, most=1) == spans[:1]


def test_the_accounts_add_up_to_what_was_delivered() -> None:
    """In batches, corrections, dead letters and open windows, over all partitions."""
    found = accounts_of([frontier(0), frontier(1)])
    assert found.delivered == found.in_batches + found.in_corrections + found.dead_lettered + found.open == 200


def test_the_watermark_is_that_of_the_slowest_busy_partition() -> None:
    """An idle one holds nothing up; where all are idle, the furthest counts; before any event there is none."""
    slow, fast = frontier(0, frontier=NOW - HOUR), frontier(1, frontier=NOW)
    idle = msgspec.structs.replace(slow, idle=True)

    def watermark(*frontiers: Frontier) -> int | None:
        return Flow(NOW, partition_rows({one.key: one for one in frontiers}, {}, {}, NOW)).watermark

    assert watermark(slow, fast) == NOW - HOUR
    assert watermark(idle, fast) == NOW
    assert watermark(idle) == NOW - HOUR
    assert watermark() is None


def test_a_worker_says_why_it_takes_nothing() -> None:
    """By its metrics and the reasons of its /readyz; one that does not answer is not called ready."""
    text = 'velocity_backpressure_active 1.0\nvelocity_backpressure_reasons{kind="store"} 1.0\n'
    pressed = worker_state(Reading("stream", "http://s", 0.0, samples_of(text), False, {"store": "it is full"}))
    assert (pressed.state, pressed.paused, pressed.pressure) == ("NOT ready", True, "store")
    assert pressed.reasons == {"store": "it is full"}
    silent = worker_state(Reading("batch", "http://b", 0.0, error="nobody listens there"))
    assert silent.state == "does not answer: nobody listens there"
    well = worker_state(Reading("batch", "http://b", 0.0, ready=True))
    assert Flow(NOW, workers=[pressed, silent, well]).pressing == [pressed, silent]
