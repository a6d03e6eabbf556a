"""`velocity chunks`: what could not be delivered or computed, found, tried again, or given up for good."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.errors import CommandFailed, UsageError
from schemas.failed_chunks import ChunkState

if TYPE_CHECKING:
    from console.failed_chunks import Outcome
    from runtime.settings import Settings
    from schemas.failed_chunks import FailedChunk

app = Commands(help="Failed chunks: found, tried again, or given up.")

Sink = Annotated[str | None, typer.Option("--sink", help="Only of this sink; `compute` is the compute API.")]
Site = Annotated[str | None, typer.Option("--site", help="Only of this site.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Chunks, by id or the beginning of it.")]


@app.command("list")
def list_chunks(
    ctx: typer.Context,
    sink: Sink = None,
    site: Site = None,
    states: Annotated[
        list[ChunkState] | None, typer.Option("--state", help="Only in this state; may be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those too that need nobody any more.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: Json = False,
) -> None:
    """List failed chunks, the last change first; without --state or --all those that wait for somebody.

    \b
    Examples:
      velocity chunks list --sink compute
      velocity chunks list --site UK-DC1 --state discarded --json
    """
    from console.failed_chunks import OPEN, ChunkFilter, newest

    wanted = ChunkFilter(None if everything else frozenset(states) if states else OPEN, sink, site)
    found = newest(_histories(settings_of(ctx, with_topics=True)), wanted)
    if json:
        screen.say_json(found[:limit])
        return
    if not found:
        screen.say("no such chunks" if everything or states else "no chunk waits for anybody; --all shows earlier ones")
        return
    columns = ("chunk", "sink", "site", "state", "SKUs", "retries", "at", "error")
    screen.say_table(columns, [_row(chunk) for chunk in found[:limit]])
    screen.remark(f"{min(limit, len(found))} of {len(found):,} chunks; `velocity chunks show ID` shows one")


@app.command()
def show(
    ctx: typer.Context,
    chunk_id: Annotated[str, typer.Argument(metavar="ID", help="The chunk's id, or the beginning of it.")],
    json: Json = False,
) -> None:
    """Show one chunk: its SKUs, and everything that happened to it.

    \b
    Example:
      velocity chunks show compute-3f9a
    """
    from console.failed_chunks import find

    history = find(_histories(settings_of(ctx, with_topics=True)), chunk_id)
    if json:
        screen.say_json(history)
        return
    last = history[-1]
    screen.say(f"{last.chunk_id}: {last.state} after {last.retries} retries")
    screen.say(f"sink {last.sink}, site {last.site_id or '–'}, {last.horizon}, run {last.run_id or '–'}")
    screen.say_table(("at", "state", "retries", "status", "what"), [_event(chunk) for chunk in history])
    if last.error and last.error.body:
        screen.say(f"the last answer began: {last.error.body}")
    shown = ", ".join(last.skus[:10]) + (", …" if len(last.skus) > 10 else "")
    screen.say(f"{len(last.skus):,} SKUs: {shown}")


@app.command()
def retry(
    ctx: typer.Context,
    ids: Ids = None,
    sink: Sink = None,
    site: Site = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows of compute chunks there, as CSV.")
    ] = None,
    json: Json = False,
) -> None:
    """Try chunks again: those that are named, or all that wait, of a sink or a site. Exit 1 if one fails again.

    A chunk of the compute API is asked for at once, of the newest calculation. Any other is handed to the worker that
    owns its site, which delivers it as it delivers others.

    \b
    Examples:
      velocity chunks retry compute-3f9a --out rows.csv
      velocity chunks retry --sink wms --site UK-DC1
    """
    from console.computation import as_table
    from console.failed_chunks import retry as try_again
    from console.result_formats import Format, encode

    settings = settings_of(ctx, with_topics=True)
    outcome = asyncio.run(try_again(settings, _chosen(settings, ids, sink, site)))
    if out is not None:
        out.write_bytes(encode(as_table(outcome.rows), Format.CSV))
    _tell(outcome, json)
    if not json and ChunkState.RETRY in outcome.states.values():
        screen.remark("they are sent once the schedule permits; `velocity deliver --now` does not ask it")
    failed = [name for name, state in outcome.states.items() if state is ChunkState.FAILED]
    if failed:
        raise CommandFailed(f"failed again: {', '.join(failed)}; `velocity chunks show ID` says why")


@app.command()
def discard(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option(help="Why nobody needs it any more; recorded with who says so.")],
    ids: Ids = None,
    sink: Sink = None,
    site: Site = None,
    json: Json = False,
) -> None:
    """Give chunks up for good: those that are named, or all that wait, of a sink or a site.

    \b
    Example:
      velocity chunks discard compute-3f9a --reason "the site was closed"
    """
    from console.failed_chunks import discard as give_up

    if not reason.strip():
        raise UsageError("--reason: say why, for whoever asks later")
    settings = settings_of(ctx, with_topics=True)
    _tell(asyncio.run(give_up(settings, _chosen(settings, ids, sink, site), reason.strip())), json)


def _histories(settings: "Settings") -> dict[str, list["FailedChunk"]]:
    from batcher.delivery.failed_chunks import read_histories

    return asyncio.run(read_histories(settings))


def _chosen(settings: "Settings", ids: list[str] | None, sink: str | None, site: str | None) -> list["FailedChunk"]:
    """The chunks that are named, or those that wait.

    Raises:
        UsageError: one is unknown or needs nobody any more, or it is not said which.
    """
    from console.failed_chunks import OPEN, ChunkFilter, find, newest

    if not ids and sink is None and site is None:
        raise UsageError("say which: ID…, --sink or --site")
    histories = _histories(settings)
    if not ids:
        return newest(histories, ChunkFilter(OPEN, sink, site))[::-1]
    chosen = list({chunk.chunk_id: chunk for chunk in (find(histories, name)[-1] for name in ids)}.values())
    if closed := [f"{chunk.chunk_id} is {chunk.state}" for chunk in chosen if chunk.state not in OPEN]:
        raise UsageError(f"nothing is to be done: {', '.join(closed)}")
    return chosen


def _tell(outcome: "Outcome", json: bool) -> None:
    if json:
        screen.say_json(outcome.states)
    elif outcome.states:
        screen.say_table(("chunk", "state"), [(name, state.value) for name, state in outcome.states.items()])
    else:
        screen.say("none")


def _row(chunk: "FailedChunk") -> tuple[screen.Cell, ...]:
    reason = chunk.error.message if chunk.error else None
    return (
        *(chunk.chunk_id, chunk.sink, chunk.site_id, chunk.state.value),
        *(len(chunk.skus), chunk.retries, chunk.at, reason),
    )


def _event(chunk: "FailedChunk") -> tuple[screen.Cell, ...]:
    error = chunk.error if chunk.state is ChunkState.FAILED else None
    status = error.status if error else None
    return chunk.at, chunk.state.value, chunk.retries, status, chunk.reason or (error.message if error else None)
