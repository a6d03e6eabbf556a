"""Open windows hold the rows of each site and window until their batch is committed, and say what they hold."""

import numpy as np
import pytest

from schemas.offsets import hash_text, offsets_hash
from schemas.records import ClosedBy, OpenWindow, Window
from streams.open_windows import OpenWindows
from streams.windowing import WindowedRows, assign_windows
from tests.partition_fetches import BEGIN, HOUR, HOURLY, MINUTE, LogRecord, decoded_table


def rows(*records: tuple[int, str, int]) -> WindowedRows:
    """Rows of (offset, site, minutes after BEGIN), in hourly windows."""
    log = [LogRecord(offset, site, BEGIN + minutes * MINUTE, None) for offset, site, minutes in records]
    return assign_windows(decoded_table(log), HOURLY)


@pytest.fixture
def windows() -> OpenWindows:
    """
    offset   0      1      2      3      4      5
    site A   00:10         01:20         00:05
    site B          00:30         00:59         00:00

    A 00:00 = {0, 4}   A 01:00 = {2}   B 00:00 = {1, 3, 5}
    """
    opened = OpenWindows()
    opened.add(rows((0, "A", 10), (1, "B", 30), (2, "A", 80)))
    opened.add(rows((3, "B", 59), (4, "A", 5), (5, "B", 0)))
    return opened


def test_rows_join_the_window_of_their_site(windows: OpenWindows) -> None:
    """Over several fetches each (site, window) gathers its rows and their bounds."""
    assert {buffer.key: buffer.count for buffer in windows} == {
        ("A", BEGIN): 2,
        ("A", BEGIN + HOUR): 1,
        ("B", BEGIN): 3,
    }
    of_b = next(buffer for buffer in windows if buffer.site_id == "B")
    assert of_b.window == Window(BEGIN, BEGIN + HOUR)
    assert (of_b.first_offset, of_b.last_offset) == (1, 5)
    assert (of_b.min_event_time, of_b.max_event_time) == (BEGIN, BEGIN + 59 * MINUTE)


def test_the_summary_tells_count_and_offsets(windows: OpenWindows) -> None:
    """What a frontier record says of a window follows from its set of offsets alone."""
    of_b = next(buffer for buffer in windows if buffer.site_id == "B")
    assert of_b.summary() == OpenWindow(
        site_id="B",
        start=BEGIN,
        end=BEGIN + HOUR,
        first_offset=1,
        count=3,
        offsets_hash=hash_text(offsets_hash(np.array([5, 3, 1]))),
    )


def test_the_summary_does_not_depend_on_the_fetches(windows: OpenWindows) -> None:
    """One fetch or six: the same windows with the same hashes."""
    one_by_one = OpenWindows()
    for record in [(0, "A", 10), (1, "B", 30), (2, "A", 80), (3, "B", 59), (4, "A", 5), (5, "B", 0)]:
        one_by_one.add(rows(record))
    assert [buffer.summary() for buffer in one_by_one.open()] == [buffer.summary() for buffer in windows.open()]


def test_windows_close_when_the_frontier_reaches_their_end(windows: OpenWindows) -> None:
    """
    A 00:00 ├────────┤
    B 00:00 ├────────┤
    A 01:00          ├────────┤
    F             ×  ^
    """
    windows.close(BEGIN + HOUR - 1, ClosedBy.WATERMARK)
    assert not windows.any_closed
    windows.close(BEGIN + HOUR, ClosedBy.WATERMARK)
    assert windows.any_closed
    assert [buffer.key for buffer in windows.closed()] == [("A", BEGIN), ("B", BEGIN)]
    assert [buffer.key for buffer in windows.open()] == [("A", BEGIN + HOUR)]


def test_what_closed_a_window_first_is_what_closed_it(windows: OpenWindows) -> None:
    """A drain that passes windows which the watermark has closed does not claim them."""
    windows.close(BEGIN + HOUR, ClosedBy.WATERMARK)
    windows.close(BEGIN + 2 * HOUR, ClosedBy.DRAIN)
    causes = {buffer.key: buffer.closed_by for buffer in windows}
    assert causes == {
        ("A", BEGIN): ClosedBy.WATERMARK,
        ("B", BEGIN): ClosedBy.WATERMARK,
        ("A", BEGIN + HOUR): ClosedBy.DRAIN,
    }


def test_windows_are_told_by_site_and_start() -> None:
    """Open or closed, the order is the same whatever came first: batches and records of two runs compare equal."""
    opened = OpenWindows()
    opened.add(rows((0, "B", 80), (1, "B", 10), (2, "A", 70), (3, "A", 0)))
    keys = [("A", BEGIN), ("A", BEGIN + HOUR), ("B", BEGIN), ("B", BEGIN + HOUR)]
    assert [buffer.key for buffer in opened.open()] == keys
    opened.close(BEGIN + 2 * HOUR, ClosedBy.WATERMARK)
    assert [buffer.key for buffer in opened.closed()] == keys


def test_settled_windows_are_forgotten(windows: OpenWindows) -> None:
    """Only those whose batch is committed; the others stay as they are."""
    windows.close(BEGIN + HOUR, ClosedBy.WATERMARK)
    windows.settle([("A", BEGIN)])
    assert {buffer.key for buffer in windows} == {("B", BEGIN), ("A", BEGIN + HOUR)}
    assert len(windows) == 2


def test_rows_that_spilled_leave_memory_but_not_the_summary(windows: OpenWindows) -> None:
    """A window with a whole block hands its rows over in offset order, and still knows what it holds."""
    before = {buffer.key: buffer.summary() for buffer in windows}
    assert windows.buffered_rows == 6
    assert {buffer.key for buffer in windows.to_spill(2)} == {("A", BEGIN), ("B", BEGIN)}
    (of_b,) = windows.to_spill(3)
    assert of_b.take_rows().column("source_offset").to_pylist() == [1, 3, 5]
    assert windows.to_spill(3) == []
    assert windows.buffered_rows == 3
    assert {buffer.key: buffer.summary() for buffer in windows} == before
    windows.add(rows((9, "B", 15)))
    assert of_b.take_rows().column("source_offset").to_pylist() == [9]
    assert (of_b.count, of_b.first_offset, of_b.last_offset) == (4, 1, 9)
