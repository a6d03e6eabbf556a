"""The benchmark's history: a database as a batch worker would have it, however often a lane has used it."""

from pathlib import Path

import pytest

from benchmarks.batches import ensure_batches
from benchmarks.feed import SITE, BenchFeed
from benchmarks.history import END_MS, FACTS_PER_BATCH, ensure_history, open_history, taken_back
from benchmarks.lanes.batch import insert_loads, read_loads
from runtime.settings import Settings
from runtime.store_local import LocalStore

DAYS, FACTS_PER_DAY, SKUS = 3, 10_000, 500
DAY_MS = 86_400_000
_SUMMARY = """
SELECT count(*), count(DISTINCT key_hash), count(DISTINCT sku), min(event_time_ms), max(event_time_ms) FROM told_facts
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small days."""
    return ensure_history(DAYS, FACTS_PER_DAY, SKUS, tmp_path_factory.mktemp("history"))


def test_it_has_the_asked_for_facts_and_days(history: Path) -> None:
    """All of one site, the last of them where the feed begins."""
    database = open_history(history)
    ((count, ids, skus, first, last),) = database.ask(lambda connection: connection.execute(_SUMMARY).fetchall())
    ((summed,),) = database.ask(lambda connection: connection.execute("SELECT sum(facts) FROM fact_days").fetchall())
    assert database.sites() == {SITE: 0}
    assert len(database.batches()) == DAYS * FACTS_PER_DAY // FACTS_PER_BATCH
    database.close()
    assert (count, ids, skus, summed) == (DAYS * FACTS_PER_DAY, DAYS * FACTS_PER_DAY, SKUS, count)
    assert DAYS * DAY_MS - 60_000 < END_MS - first < DAYS * DAY_MS + 60_000
    assert END_MS - 60_000 < last < END_MS


def test_what_a_lane_does_is_taken_back(history: Path, tmp_path: Path) -> None:
    """Its insertions and calculations are made in full, and the next run finds none of them."""
    folder, manifests = ensure_batches(BenchFeed(events=2_000, skus=SKUS), tmp_path)
    for _ in range(2):
        database = open_history(history)
        with taken_back(database):
            loads = list(read_loads(LocalStore(folder), manifests, Settings()))
            assert sum(one.facts_new for group in loads for one in insert_loads(database, group)) == 2_000
            run = database.calculate(SITE, END_MS, trigger="schedule", now_ms=END_MS, newest=True)
            assert run.skus == SKUS
        assert database.runs() == []
        assert len(database.batches()) == DAYS * FACTS_PER_DAY // FACTS_PER_BATCH
        database.close()


def test_it_is_filled_once(history: Path) -> None:
    """The same file, as it was."""
    before = history.stat().st_mtime_ns
    assert ensure_history(DAYS, FACTS_PER_DAY, SKUS, history.parent) == history
    assert history.stat().st_mtime_ns == before
