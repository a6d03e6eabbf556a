"""How `make test` comes by a Chromium."""

import os
from pathlib import Path

import pytest
from chromium import NAMES, chromium, install


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; we are root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def put(folder: Path, name: str, script: str) -> None:
    """A command."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_one_that_is_there_is_taken(path: Path) -> None:
    """Under any of its names, and nothing is installed."""
    put(path, NAMES[1], "exit 0")
    assert (chromium(), install()) == (str(path / NAMES[1]), "")


def test_without_apt_or_root_a_sentence_says_what_is_missed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing fails."""
    assert "browser tests will be skipped" in install()
    put(path, "apt-get", "exit 0")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "without apt and root" in install()


def test_apt_installs_it_and_says_why_if_it_cannot(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """First its lists, then the package; the last line that it complains with is passed on."""
    put(path, "apt-get", f'echo "$*" >> {path}/calls')
    assert install() == ""
    assert (path / "calls").read_text().splitlines() == ["update", "install --yes --no-install-recommends chromium"]
    assert "apt installs it" in capsys.readouterr().out
    put(path, "apt-get", "echo first >&2; echo 'E: no network' >&2; exit 100")
    assert "E: no network" in install()
