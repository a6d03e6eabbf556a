"""Progress of long work: how much, how fast, how long still. A bar in a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from console import screen

PLAIN_EVERY_S = 5.0
LISTENED_EVERY_S = 0.2

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Meters that begin within tell the listener how far they are, a few times a second, and the screen nothing."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Meter:
    """Counts items; a context manager. `total` is in weights (bytes, say), which are the items where none are given.

    Outside a terminal a line appears every few seconds and at the end, so that short work leaves one line.
    """

    def __init__(
        self,
        what: str,
        *,
        total: float | None = None,
        unit: str = "records",
        clock: Callable[[], float] = time.monotonic,
        terminal: bool | None = None,
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.items = 0
        self.weight = 0.0
        self.note = ""
        self._clock = clock
        self._started = self._said = clock()
        self._listener = _listener.get()
        shows_bar = self._listener is None and (screen.is_terminal() if terminal is None else terminal)
        self._bar = _bar() if shows_bar else None
        self._task = self._bar.add_task(what, total=total, detail="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._refresh()
            self._bar.stop()
        else:
            self._tell(self.summary() if error is None else f"{self.describe()}: interrupted")

    def advance(self, items: int = 1, weight: float | None = None) -> None:
        """Some more are done."""
        self.items += items
        self.weight += items if weight is None else weight
        self._show()

    def reach(self, items: int, note: str = "") -> None:
        """This many are done in all."""
        self.items, self.weight, self.note = items, items, note
        self._show()

    def describe(self) -> str:
        """One line: what, how much of how much, rate, time left, remark."""
        rate, left = self._rate(), self._time_left()
        parts = [f"{self.items:,} {self.unit}"]
        if self.total:
            parts[0] += f" ({min(1.0, self.weight / self.total):.0%})"
        if rate >= 1:
            parts.append(f"{rate:,.0f}/s")
        if left is not None and left >= 1:
            parts.append(f"{duration_text(left)} left")
        return f"{self.what}: {', '.join(parts)}{f' – {self.note}' if self.note else ''}"

    def summary(self) -> str:
        """The last line: how much, in what time."""
        elapsed, rate = self._clock() - self._started, self._rate()
        fast = f" ({rate:,.0f}/s)" if rate >= 1 else ""
        return f"{self.what}: {self.items:,} {self.unit} in {duration_text(elapsed)}{fast}"

    def _rate(self) -> float:
        return self.items / max(1e-3, self._clock() - self._started)

    def _time_left(self) -> float | None:
        if not self.total or not self.weight:
            return None
        return max(0.0, (self.total - self.weight) * (self._clock() - self._started) / self.weight)

    def _show(self) -> None:
        now = self._clock()
        if self._bar and now - self._said >= 0.1:
            self._refresh()
            self._said = now
        elif not self._bar and now - self._said >= (LISTENED_EVERY_S if self._listener else PLAIN_EVERY_S):
            self._tell(self.describe())
            self._said = now

    def _tell(self, text: str) -> None:
        (self._listener or screen.remark)(text)

    def _refresh(self) -> None:
        if self._bar and self._task is not None:
            detail = self.describe().partition(": ")[2]
            self._bar.update(self._task, completed=self.weight, total=self.total, detail=detail)


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    return Progress(*columns, console=screen.progress_console())


def duration_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
