"""`velocity demo` as a newcomer runs it: from nothing to audited coefficients, the same each time, and nothing left."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pipeline_world import RUN

#: Two at a time, on a machine that may have other work.
pytestmark = pytest.mark.timeout(600)

DELIVERED, BATCHED, CORRECTED, DEAD = 209_029, 207_755, 0, 1_274


def demo(directory: Path) -> str:
    """What a run prints; its settings are its own, whatever the environment says."""
    temporary = directory / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "VELOCITY_SKU_PATTERN": "nothing", "VELOCITY_API__URL": "no"}
    ended = subprocess.run(
        [*RUN, "demo"], check=False, cwd=directory, env=environment, text=True, capture_output=True, timeout=540
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert sorted(directory.iterdir()) == [temporary]
    assert not list(temporary.iterdir())
    return ended.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What two demos print that run side by side, each with a broker, ports and a directory of its own."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(demo, (tmp_path_factory.mktemp("demo") for _ in range(2))))


@pytest.fixture(scope="module")
def printed(both: list[str]) -> str:
    """What the demo prints."""
    return both[0]


def numbers(text: str, row: str) -> list[list[int]]:
    """The whole numbers of each line whose first word is this, thousands separated by commas."""
    lines = [line.split() for line in text.splitlines()]
    return [
        [int(word.replace(",", "")) for word in words if word[0].isdigit()] for words in lines if words[:1] == [row]
    ]


def test_the_demo_accounts_for_every_line(printed: str) -> None:
    """Delivered = batches + corrections + dead letters, nothing is open; the audit is complete, offset by offset."""
    assert numbers(printed, "all")[0] == [DELIVERED, BATCHED, CORRECTED, DEAD, 0, 0]
    assert DELIVERED == BATCHED + CORRECTED + DEAD
    assert numbers(printed, "bad_format")[0][0] == DEAD
    assert re.search(r"^audit: complete \([\d,]+ batches of 18 source partitions, offset by offset\)$", printed, re.M)


def test_the_demo_shows_what_moves(printed: str) -> None:
    """The fastest movers by name, with their classes, and every SKU in one of nine."""
    assert "The 10 fastest movers of 2,443 SKUs" in printed
    *classes, everything = (row for name in ("A", "B", "C", "all") for row in numbers(printed, name)[-1:])
    assert everything == [sum(column) for column in zip(*classes, strict=True)]
    assert everything[-1] == 2_443
    assert re.search(r"^85123A +White hanging heart t-light holder +7\.63 +133\.6 +AX$", printed, re.M)


def test_a_second_demo_prints_the_same_numbers(both: list[str]) -> None:
    """Another broker, other ports, another directory, at the same time."""
    assert both[1] == both[0]
