"""What a lane is asked to do, and how it is run: one process a lane, a job on its standard input, the measurement last.

A lane is a module of `benchmarks.lanes` with a function `run(job) -> Measurement`. To add one, write the module and
name it in `benchmarks.plan`.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.feed import BenchFeed
from benchmarks.measure import Measurement

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 1800.0


class LaneFailed(RuntimeError):
    """A lane ended without a measurement, or with an output that is not the input's."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One lane in one run. `scratch` is an empty directory of its own; `cache` outlives the benchmark.

    `days` of `facts_per_day` facts are the history that the lane finds.
    """

    lane: str
    feed: BenchFeed
    scratch: Path
    cache: Path
    bootstrap: str = ""
    topic: str = ""
    window: str = "PT5M"
    workers: int = 1
    days: int = 0
    facts_per_day: int = 0
    broker_pid: int | None = None


def run_apart(job: Job) -> Measurement:
    """Run a lane in a process of its own. What it logs goes to `lane.log` in its scratch directory.

    Raises:
        LaneFailed: with the end of its log.
    """
    job.scratch.mkdir(parents=True, exist_ok=True)
    log = job.scratch / "lane.log"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("wb") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.job"],
            input=msgspec.json.encode(job, enc_hook=str),
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=job.scratch,
            env={**os.environ, "PYTHONPATH": path},
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode or not done.stdout.strip():
        raise LaneFailed(f"lane {job.lane} ended with exit code {done.returncode}:\n{log.read_text()[-3000:].strip()}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measurement)


def in_a_process_of_its_own(work: Callable[..., Any], *arguments: Any) -> None:
    """For a lane's set-up: the memory that it takes is not the measured process's.

    Raises:
        LaneFailed
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise LaneFailed(f"set-up {work.__name__} ended with exit code {process.exitcode}")


def main() -> None:
    """The lane's side of `run_apart`."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job, dec_hook=lambda kind, text: kind(text))
    measured = importlib.import_module(f"benchmarks.lanes.{job.lane}").run(job)
    sys.stdout.buffer.write(msgspec.json.encode(measured) + b"\n")


if __name__ == "__main__":
    main()
