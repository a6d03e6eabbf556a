"""Commands run within the process of a test: quicker than one of their own."""

from dataclasses import dataclass

from pipeline_world import PipelineWorld
from typer.testing import CliRunner

from console.main import app, report


@dataclass(frozen=True)
class Said:
    """What a command printed: its answer, and everything together."""

    stdout: str
    output: str


def velocity(world: PipelineWorld, *arguments: str, code: int = 0, stdin: bytes | None = None) -> Said:
    """Run a command within this process; `report` makes the exit code of an error, as `main` does."""
    ended = CliRunner().invoke(app, list(arguments), env=world.environment, input=stdin)
    error = ended.exception if isinstance(ended.exception, Exception) else None
    found = ended.exit_code if error is None else report(error)
    assert found == code, f"{ended.output}\n{error!r}"
    return Said(ended.stdout, f"{ended.output}\n{error or ''}")
