"""Charts as data: what `static/chart.js` draws, and the same as a table for whoever does not see it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

Kind = Literal["line", "step", "bars", "area"]


@dataclass(frozen=True, slots=True)
class Series:
    """A value for each x; None leaves a gap. `right`: measured on an axis of its own. `tone`: a colour of the theme."""

    label: str
    values: Sequence[float | None]
    kind: Kind = "line"
    right: bool = False
    tone: Literal[1, 2, 3, 4, 5, 6] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart. `x` are seconds since the epoch where `time_zone` is named, else numbers, or labels in their order."""

    name: str  # of its element; unique on the page
    title: str
    x_label: str
    x: Sequence[float] | Sequence[str]
    series: Sequence[Series]
    time_zone: str | None = None
    y_label: str = ""
    right_label: str = ""
    height: int = 260  # px
    notes: Sequence[str] = field(default_factory=tuple[str, ...])

    def __post_init__(self) -> None:
        if any(len(series.values) != len(self.x) for series in self.series):
            raise ValueError(f"chart {self.name}: every series needs {len(self.x)} values, one for each x")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.x

    def spec(self) -> dict[str, Any]:
        """What is drawn, as JSON values."""
        named = bool(self.x) and isinstance(self.x[0], str)
        return {
            "title": self.title,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "rightLabel": self.right_label,
            "height": self.height,
            "zone": self.time_zone,
            "names": list(self.x) if named else None,
            "x": list(range(len(self.x))) if named else [_finite(value) for value in self.x],
            "series": [
                {
                    "label": series.label,
                    "kind": series.kind,
                    "right": series.right,
                    "tone": series.tone or index % 6 + 1,
                    "values": [_finite(value) for value in series.values],
                }
                for index, series in enumerate(self.series)
            ],
        }

    def shown_x(self, value: float | str) -> str:
        """An x as the table shows it: an instant in the chart's time zone, or as it is."""
        if self.time_zone is None or isinstance(value, str):
            return str(value)
        return datetime.fromtimestamp(value, ZoneInfo(self.time_zone)).isoformat(" ", "minutes")

    def rows(self) -> list[tuple[Any, ...]]:
        """The same as rows: x, then a value of each series."""
        return list(zip(self.x, *(series.values for series in self.series), strict=True))


def _finite(value: Any) -> Any:
    """A number that JSON has; None for one that it has not."""
    return None if value is None or not math.isfinite(value) else value
