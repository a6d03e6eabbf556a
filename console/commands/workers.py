"""`velocity stream` and `velocity batch`: the workers, in the foreground."""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

import typer

from console.commands import options_of

if TYPE_CHECKING:
    from runtime.settings import Settings


def stream(ctx: typer.Context) -> None:
    """Run a stream worker: events to closed windows, batches and dead letters. Start as many as you like.

    It checks the topics first and exits 3 if one is missing or endangers data. SIGTERM: it finishes what it has in
    hand, checkpoints, and exits 0. Give each worker a VELOCITY_WORKER_ID of its own that survives restarts.

    \b
    Example:
      VELOCITY_WORKER_ID=stream-1 velocity stream
    """
    from streams.process import run_stream_worker

    run_in_foreground(ctx, run_stream_worker)


def batch(ctx: typer.Context) -> None:
    """Run a batch worker: batches to facts, facts to coefficients, and the API at VELOCITY_API__URL.

    A worker owns sites; start a second one with a state directory, worker id and API address of its own, and they
    share the sites. A lost state directory is rebuilt from the batches.

    \b
    Example:
      VELOCITY_WORKER_ID=batch-1 VELOCITY_STATE_DIR=/var/lib/velocity velocity batch
    """
    from batcher.worker import run_batch_worker

    run_in_foreground(ctx, run_batch_worker)


def run_in_foreground(
    ctx: typer.Context,
    worker: "Callable[[Settings], Awaitable[int]]",
    flags: Mapping[str, str | int | None] | None = None,
) -> None:
    """Run a worker to its end, and leave with its exit code. `flags` are settings by name; None sets nothing."""
    from console.configuration import load_settings, unknown_variables
    from runtime.logs import configure_logs

    options = options_of(ctx)
    given = (f"{name}={value}" for name, value in (flags or {}).items() if value is not None)
    settings = load_settings((*options.sets, *given), options.config)
    configure_logs(settings.log)
    _warn(unknown_variables())

    async def run() -> int:
        return await worker(settings)

    _leave(asyncio.run(run()))


def _leave(code: int) -> NoReturn:
    """End with this exit code, whatever still runs.

    A stop that comes while Faust starts leaves its consumer's thread behind: nothing would ever end it (measured).
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


def _warn(names: list[str]) -> None:
    import structlog

    for name in names:
        structlog.get_logger(__name__).warning("this variable is no setting and has no effect", name=name)
