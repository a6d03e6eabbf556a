"""Commands run within the process of a test: quicker than one of their own, which would mostly import."""

import contextlib
import logging
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from console.main import main

if TYPE_CHECKING:
    from pipeline_world import PipelineWorld


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything together."""
        return self.stdout + self.stderr


def run_here(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path, stdin: bytes | None = None
) -> Ended:
    """Run a command as its entry point does, with this environment and no other, in this directory."""
    only_ours = {**dict.fromkeys(os.environ), **environment}
    with (
        contextlib.chdir(directory),
        patch.multiple(sys, argv=["velocity", *arguments], excepthook=sys.excepthook),  # Typer sets a hook of its own
        _logs_as_before(),
        CliRunner().isolation(stdin, only_ours) as (stdout, stderr, _),
    ):
        with pytest.raises(SystemExit) as end:
            main()
        sys.stdout.flush()
        sys.stderr.flush()
        return Ended(int(end.value.code or 0), stdout.getvalue().decode(), stderr.getvalue().decode())


@contextlib.contextmanager
def _logs_as_before() -> Generator[None]:
    """A command sends logs to its standard error, which is closed once it has ended: let go of that then."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def velocity(world: "PipelineWorld", *arguments: str, code: int = 0, stdin: bytes | None = None) -> Ended:
    """Run a command that must end with this exit code."""
    ended = run_here(arguments, world.environment, world.directory, stdin)
    assert ended.returncode == code, ended.output
    return ended
