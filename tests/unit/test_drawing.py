"""Drawings are right where a ruler would say so, and inert whatever they are named."""

import itertools
import re

import jinja2
import pytest

from console.insight.drawing import (
    MARGIN_LEFT,
    MARGIN_RIGHT,
    WIDTH,
    Span,
    bars,
    columns,
    curve,
    nice_top,
    time_ticks,
    timeline,
)

HOUR = 3_600_000
DAY = 24 * HOUR


def test_a_timeline_reaches_from_edge_to_edge_in_proportion() -> None:
    """Three hours: the middle one begins a third of the way; the mark stands where its instant is."""
    spans = [Span("A orders", hour * HOUR, (hour + 1) * HOUR, 1, str(hour)) for hour in range(3)]
    drawn = timeline("Open", spans, [(2 * HOUR, "watermark")])
    inner = WIDTH - MARGIN_LEFT - MARGIN_RIGHT
    starts = [rect.x for rect in drawn.rects]
    assert starts == pytest.approx([MARGIN_LEFT + inner * part / 3 for part in range(3)], abs=0.01)
    (mark,) = [rule for rule in drawn.rules if rule.kind == "mark"]
    assert mark.x1 == starts[2]
    assert len({rect.y for rect in drawn.rects}) == 1


def test_each_row_of_a_timeline_has_its_line() -> None:
    """Named once, in the order in which they come; a span of no length can still be seen."""
    drawn = timeline("Open", [Span("B", 0, DAY, 1, ""), Span("A", 5, 5, 2, ""), Span("B", 1, 2, 1, "")])
    assert [words.text for words in drawn.words if words.anchor == "end"] == ["B", "A"]
    assert min(rect.width for rect in drawn.rects) == 2.0


@pytest.mark.parametrize(
    ("first", "last", "step"), [(0, 5 * HOUR, HOUR), (10, 2 * DAY, 6 * HOUR), (0, 30 * 365 * DAY, 10 * 365 * DAY)]
)
def test_ticks_are_round_and_few(first: int, last: int, step: int) -> None:
    """Between the ends, the same distance apart."""
    ticks = time_ticks(first, last)
    assert 2 <= len(ticks) <= 9
    assert {later - tick for tick, later in itertools.pairwise(ticks)} == {step}
    assert all(tick % step == 0 and first <= tick <= last for tick in ticks)


def test_bars_grow_from_a_common_line_to_both_sides() -> None:
    """What fell is to the left in another tone, and lengths are in proportion."""
    drawn = bars("Movers", [("UP", 4.0, "+4"), ("DOWN", -2.0, "-2")])
    up, down = drawn.rects
    assert up.x == pytest.approx(down.x + down.width, abs=0.01)
    assert up.width == pytest.approx(2 * down.width, abs=0.01)
    assert up.tone != down.tone


def test_columns_end_at_a_round_number() -> None:
    """The axis reaches to the next one; a column of that height would be as high as the axis."""
    drawn = columns("Days", [("Mon", 10.0), ("Tue", 20.0)])
    first, second = drawn.rects
    assert second.height == pytest.approx(2 * first.height, abs=0.02)
    assert [words.text for words in drawn.words if words.anchor == "end"] == ["0", "5", "10", "15", "20"]


@pytest.mark.parametrize(("value", "top"), [(0, 4), (-1, 4), (1, 1), (3, 4), (9, 10), (11, 20), (0.03, 0.04)])
def test_the_top_of_an_axis_is_no_less_than_any_value(value: float, top: float) -> None:
    """And round."""
    assert nice_top(value) == pytest.approx(top)


def test_a_curve_goes_from_corner_to_corner() -> None:
    """Shares of 0 and 1 are the corners of its field."""
    found = re.findall(r"[ML]([\d.]+) ([\d.]+)", curve("Pareto", [(0, 0), (1, 1)], "x", "y").path)
    (left, bottom), (right, top) = ((float(x), float(y)) for x, y in found)
    assert (left, right) == (60.0, WIDTH - MARGIN_RIGHT)
    assert bottom > top


def test_what_a_drawing_is_named_stays_text() -> None:
    """A SKU may be called anything that the settings' pattern lets through: it is never markup."""
    hostile = '"><script>alert(1)</script>'
    environment = jinja2.Environment(loader=jinja2.PackageLoader("console.web", "templates"), autoescape=True)
    macro = environment.get_template("macros/drawings.html").module.drawing  # type: ignore[attr-defined]
    text = str(macro(bars(hostile, [(hostile, 1.0, hostile)])))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 6
