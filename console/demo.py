"""The whole system in a directory of its own: settings, workers, and the steps from events to audited coefficients.

Where Kafka and the events come from is the caller's matter.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import pyarrow as pa

from console import screen
from console.audit_run import AuditReport, audit
from console.client import BatchApi, Question
from console.configuration import PREFIX, load_settings
from console.desk.indexed import LetterCounts
from console.desk.looking import letter_counts
from console.drain import DrainOptions, drain
from console.errors import CommandFailed
from console.lines import KeyField
from console.produce import produce
from console.progress import duration_text
from runtime.settings import Settings
from runtime.topics import apply, plan_topics
from schemas.instants import rfc3339
from schemas.sources import Source

T = TypeVar("T")

STOP_S = 15.0
WATCH_S = 0.5
LOG_SHOWN = 2_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a demo has to show."""

    coefficients: pa.Table
    letters: LetterCounts
    report: AuditReport


def write_settings(directory: Path, values: Mapping[str, Mapping[str, Any] | str]) -> Path:
    """A `velocity.toml` in the directory; returns its path. Values are texts, numbers and tables of these."""
    tables = {name: table for name, table in values.items() if isinstance(table, Mapping)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = directory / "velocity.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def free_port() -> int:
    """A port of the loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def only_settings(file: Path) -> Settings:
    """The settings of a file alone: the environment must not change what a demo shows."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]
    return load_settings(file=file)


class Workers:
    """Workers as processes, by the names of their commands; a context manager. `guard` precedes each command line."""

    def __init__(self, directory: Path, file: Path, guard: Sequence[str], names: Sequence[str]) -> None:
        self._directory, self._file, self._guard, self._names = directory, file, guard, names
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for name in self._names:
            command = [*self._guard, sys.executable, "-m", "console.main", "--config", str(self._file), name]
            with self.log_of(name).open("wb") as log:
                self._running[name] = subprocess.Popen(
                    command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log_of(self, name: str) -> Path:
        """Where a worker writes its log."""
        return self._directory / f"{name}.log"

    def check(self) -> None:
        """
        Raises:
            CommandFailed: a worker has ended; says what it logged last.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                last = self.log_of(name).read_text("utf-8", "replace")[-LOG_SHOWN:]
                raise CommandFailed(f"`velocity {name}` ended with exit code {process.returncode}:\n{last}")


async def while_running(workers: Workers, work: Awaitable[T]) -> T:
    """Wait for some work, but not longer than the workers live."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=WATCH_S))[0]:
            workers.check()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def step(what: str, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Say what is done, and how long it took."""
    started = clock()
    screen.remark(f"· {what} …", style="cyan")
    yield
    screen.remark(f"  {duration_text(clock() - started)}", style="dim")


def create_topics(settings: Settings) -> None:
    """All topics of the settings. Blocks."""
    with step("create the topics"):
        apply(settings, plan_topics(settings).differences)


def run(settings: Settings, workers: Workers, feed: Mapping[Source, Path], as_of_ms: int) -> Outcome:
    """From events to the audit, with workers that run. Blocks.

    Raises:
        CommandFailed: a worker has ended, or not all events could be sent.
    """
    with step("send the events"):
        for source, file in feed.items():
            _expect_all(produce(settings, source, KeyField.SKU, [str(file)]).faults)
    with step("drain: close every window, and load every batch"):
        asyncio.run(while_running(workers, drain(settings, DrainOptions())))
    with step(f"calculate the velocity of every SKU as of {rfc3339(as_of_ms)}"):
        table = asyncio.run(while_running(workers, _calculate(settings, as_of_ms)))
    with step("audit every file and every offset"):
        report = audit(settings, deep=True)
    letters = asyncio.run(letter_counts(settings))
    return Outcome(table, letters, report)


def _expect_all(faults: Sequence[object]) -> None:
    if faults:
        raise CommandFailed(f"not all events could be sent: {faults[0]}")


async def _calculate(settings: Settings, as_of_ms: int) -> pa.Table:
    instant = rfc3339(as_of_ms)
    async with BatchApi(settings) as api:
        answers = await api.ask(Question("/api/v1/recalc", body={"as_of": instant}), None)
        runs = [run for answer in answers for run in msgspec.json.decode(answer)["runs"]]
        if not runs:
            raise CommandFailed("no site has any facts")
        params: dict[str, str | None] = {"as_of": instant, "horizon": runs[0]["horizon"]}
        return await api.table(Question("/api/v1/coefficients", params, arrow=True), None)
