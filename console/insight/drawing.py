"""Drawings as figures: what an SVG is made of, worked out once. `templates/macros/drawings.html` writes it. Pure.

Lengths are in units of the drawing, which the page scales. Tones are the theme's, 1 to 6.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

WIDTH = 960
MARGIN_LEFT = 150
MARGIN_RIGHT = 24
ROW = 22
AXIS = 24


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar; `said` is what it stands for in words."""

    x: float
    y: float
    width: float
    height: float
    tone: int
    said: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line; `kind` is `grid` or `mark`."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str = "grid"


@dataclass(frozen=True, slots=True)
class Words:
    """A text; `anchor` is `start`, `middle` or `end`."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(slots=True)
class Drawing:
    """An SVG of so many units; `title` says what it shows to who does not see it."""

    title: str
    height: float
    width: float = WIDTH
    rects: list[Rect] = field(default_factory=list[Rect])
    rules: list[Rule] = field(default_factory=list[Rule])
    words: list[Words] = field(default_factory=list[Words])
    path: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in a row of a timeline, UTC milliseconds, half-open."""

    row: str
    start: int
    end: int
    tone: int
    said: str


def timeline(title: str, spans: Sequence[Span], marks: Sequence[tuple[int, str]] = ()) -> Drawing:
    """Spans in rows over a common axis of time, with `marks` at instants. There must be a span."""
    rows = list(dict.fromkeys(span.row for span in spans))
    first = min([*(span.start for span in spans), *(at for at, _ in marks)])
    last = max([*(span.end for span in spans), *(at for at, _ in marks)])
    reach = max(1, last - first)
    drawing = Drawing(title, AXIS + ROW * len(rows) + AXIS)
    inner = WIDTH - MARGIN_LEFT - MARGIN_RIGHT

    def at(instant: int) -> float:
        return round(MARGIN_LEFT + inner * (instant - first) / reach, 2)

    bottom = AXIS + ROW * len(rows)
    for tick in time_ticks(first, last):
        drawing.rules.append(Rule(at(tick), AXIS, at(tick), bottom))
        drawing.words.append(Words(at(tick), bottom + 16, _clock(tick, reach), "middle"))
    for number, row in enumerate(rows):
        drawing.words.append(Words(MARGIN_LEFT - 8, AXIS + ROW * number + 15, row, "end"))
    for span in spans:
        width = max(2.0, round(at(span.end) - at(span.start) - 1, 2))
        y = AXIS + ROW * rows.index(span.row) + 3
        drawing.rects.append(Rect(at(span.start), y, width, ROW - 6, span.tone, span.said))
    for instant, text in marks:
        drawing.rules.append(Rule(at(instant), AXIS - 6, at(instant), bottom, "mark"))
        anchor = "end" if at(instant) > WIDTH - 160 else "start"
        drawing.words.append(Words(at(instant), AXIS - 9, text, anchor))
    return drawing


def curve(
    title: str, points: Sequence[tuple[float, float]], x_label: str, y_label: str, height: float = 300
) -> Drawing:
    """A line through points whose coordinates are shares, 0 to 1."""
    left, bottom = 60.0, height - 46
    inner_width, inner_height = WIDTH - left - MARGIN_RIGHT, bottom - 12
    drawing = Drawing(title, height)
    for percent in range(0, 101, 20):
        x, y = round(left + inner_width * percent / 100, 2), round(bottom - inner_height * percent / 100, 2)
        drawing.rules += [Rule(left, y, WIDTH - MARGIN_RIGHT, y), Rule(x, 12, x, bottom)]
        drawing.words += [
            Words(left - 8, y + 4, f"{percent} %", "end"),
            Words(x, bottom + 18, f"{percent} %", "middle"),
        ]
    drawing.words += [Words(left + inner_width / 2, height - 6, x_label, "middle"), Words(left + 6, 24, y_label)]
    places = [(round(left + inner_width * x, 2), round(bottom - inner_height * y, 2)) for x, y in points]
    drawing.path = " ".join(f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(places))
    return drawing


def bars(title: str, values: Sequence[tuple[str, float, str]], tone: int = 1) -> Drawing:
    """Horizontal bars from a common line, below 0 to the left of it: label, value, and the value in words."""
    low, high = min(0.0, *(v for _, v, _ in values)), max(0.0, *(v for _, v, _ in values))
    reach = (high - low) or 1.0
    inner = WIDTH - MARGIN_LEFT - 140
    zero = round(MARGIN_LEFT + inner * -low / reach, 2)
    drawing = Drawing(title, ROW * len(values) + 8)
    for number, (label, value, said) in enumerate(values):
        y, width = ROW * number + 4, round(inner * abs(value) / reach, 2)
        x = zero if value >= 0 else round(zero - width, 2)
        drawing.words.append(Words(MARGIN_LEFT - 8, y + 15, label, "end"))
        drawing.rects.append(Rect(x, y, max(1.0, width), ROW - 6, tone if value >= 0 else 2, f"{label}: {said}"))
        drawing.words.append(Words((x + width if value >= 0 else zero) + 6, y + 15, said))
    drawing.rules.append(Rule(zero, 0, zero, drawing.height, "mark"))
    return drawing


def columns(title: str, values: Sequence[tuple[str, float]], height: float = 220, tone: int = 1) -> Drawing:
    """Upright bars in order, each named where there is room."""
    left, bottom = 60.0, height - 26
    top = nice_top(max((value for _, value in values), default=0))
    step = (WIDTH - left - MARGIN_RIGHT) / max(1, len(values))
    drawing = Drawing(title, height)
    for part in range(5):
        y = round(bottom - (bottom - 12) * part / 4, 2)
        drawing.rules.append(Rule(left, y, WIDTH - MARGIN_RIGHT, y))
        drawing.words.append(Words(left - 8, y + 4, f"{top * part / 4:,.6g}", "end"))
    every = math.ceil(len(values) / 12)
    for number, (label, value) in enumerate(values):
        tall = round((bottom - 12) * value / top, 2)
        x = round(left + step * number + 1, 2)
        drawing.rects.append(Rect(x, bottom - tall, round(max(1.0, step - 2), 2), tall, tone, f"{label}: {value:,.6g}"))
        if number % every == 0:
            drawing.words.append(Words(x, bottom + 16, label))
    return drawing


def nice_top(value: float) -> float:
    """A round number that is no less, whose quarters are round too."""
    if value <= 0:
        return 4.0
    size = 10 ** math.floor(math.log10(value))
    return next(size * factor for factor in (1, 2, 4, 8, 10, 20) if size * factor >= value)


_DAY_S = 86_400
_STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, *(_DAY_S * days for days in (1, 2, 7, 30, 365)))
_STEPS_MS = tuple(1_000 * seconds for seconds in _STEPS_S)


def time_ticks(first: int, last: int, most: int = 8) -> list[int]:
    """Round instants between two others, `most` of them at most."""
    step = next((one for one in _STEPS_MS if (last - first) / one <= most), 10 * _STEPS_MS[-1])
    return list(range(-(-first // step) * step, last + 1, step))


def _clock(at_ms: int, reach_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    if reach_ms > 3 * 86_400_000:
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%d %b %H:%M}" if reach_ms > 120_000 else f"{moment:%H:%M:%S}"
