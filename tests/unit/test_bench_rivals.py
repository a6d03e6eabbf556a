"""What another engine's lane stands on: its list of jars, and a JDK or a word that there is none."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.feed import START_MS, BenchFeed
from benchmarks.lanes.kafka_streams import closed
from benchmarks.rivals.jvm import SOURCES, NoJdk, jdk
from sandbox.kafka.install import parse_pins

LISTS = sorted(SOURCES.glob("*.txt"))


@pytest.mark.parametrize("pins", LISTS, ids=lambda pins: pins.name)
def test_every_jar_is_pinned_once_and_nowhere_is_an_address(pins: Path) -> None:
    """Where jars come from is the machine's business; what they are is ours."""
    text = pins.read_text("utf-8")
    jars = parse_pins(text)
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars) > 5
    assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) for jar in jars)
    assert "://" not in text


def test_remarks_are_no_jars() -> None:
    """A list says in its first lines what it was resolved from."""
    (jar,) = parse_pins(f"# Kafka\n{'0a' * 32}  org.example:some-thing:1.2\n")
    assert (jar.group, jar.artifact, jar.version, jar.sha256) == ("org.example", "some-thing", "1.2", "0a" * 32)
    with pytest.raises(ValueError, match="unpack"):
        parse_pins("org.example:some-thing:1.2")


def test_without_a_jdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And which of the two places it looked in."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(NoJdk, match=r"need a JDK, 17 or newer; there is no javac in the PATH\. On Debian"):
        jdk()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(NoJdk, match=r"in JAVA_HOME \("):
        jdk()


def test_a_window_is_closed_by_events_of_its_own_partition() -> None:
    """[06:00, 06:05) ends 30 s before the latest event of each; the window that holds that event stays open."""
    feed = BenchFeed(events=140_000, skus=50, partitions=2)  # 350 s of event time, up to 30 s late
    times = np.concatenate([chunk.event_times for chunk in feed.chunks()])
    quantities = np.concatenate([chunk.quantities for chunk in feed.chunks()])
    before = times < START_MS + 300_000
    assert closed(feed) == (before.sum(), quantities[before].sum())
    assert closed(BenchFeed(events=1_000)) == (
        0,
        0,
    )  # the first events are of the window before, still within its grace
