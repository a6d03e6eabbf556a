"""The dead-letter desk at a million letters of twelve kinds: how fast they are indexed, how long its questions take.

The first figure is of an empty index that reads the whole topic. Then, as `velocity dlq` does each time: what is new is
looked for, and asked are the counts, the groups with their trends, a page of the newest letters, and the counts of one
SKU, for which letters must be looked at.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from benchmarks.job import Job, LaneFailed, in_a_process_of_its_own
from benchmarks.letters import KINDS, fill
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.world import own_environment, pipeline_topics
from console.desk.following import follow
from console.desk.index import DeskIndex
from console.desk.letter_filter import LetterFilter
from runtime.settings import Settings

LETTERS = int(os.environ.get("BENCH_LETTERS", "1000000"))

_QUESTIONS: dict[str, Callable[[DeskIndex], Any]] = {
    "stats_s": DeskIndex.stats,
    "groups_s": lambda index: (index.groups(), index.trends(0)),
    "newest_50_s": DeskIndex.letters,
    "stats_of_sku_s": lambda index: index.stats(LetterFilter(sku="85123A")),
}


def run(job: Job) -> Measurement:
    """Fill the topic, index it, ask."""
    os.environ.update(own_environment(job))
    settings = Settings()
    with pipeline_topics(settings):
        in_a_process_of_its_own(fill, LETTERS)
        watch = Stopwatch(broker_pid=job.broker_pid)
        watch.start()
        path = asyncio.run(follow(settings))
        indexed = watch.stop(LETTERS)
        verify(path)
        size = {"index_mb": round(path.stat().st_size / (1 << 20), 1)}
        return replace(indexed, details={**indexed.details, **size, **_again(settings)})


def _again(settings: Settings) -> dict[str, float]:
    """Seconds that each question takes on an index that is opened anew, and to see that nothing is new."""
    begun = time.perf_counter()
    path = asyncio.run(follow(settings))
    took = {"nothing_new_s": time.perf_counter() - begun}
    for name, ask in _QUESTIONS.items():
        begun = time.perf_counter()
        with DeskIndex.open(path) as index:
            ask(index)
        took[name] = time.perf_counter() - begun
    return {name: round(seconds, 4) for name, seconds in took.items()}


def verify(path: Path) -> None:
    """
    Raises:
        LaneFailed: the index has not every letter, or not every kind.
    """
    with DeskIndex.open(path) as index:
        total, groups = index.stats().total, len(index.groups())
    if total != LETTERS or groups < KINDS:
        raise LaneFailed(f"{total:,} of {LETTERS:,} letters in {groups} groups are in the index")
