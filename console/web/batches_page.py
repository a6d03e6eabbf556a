"""`/batches`: which windows are complete, the catalogue, each batch with where it comes from and went, and its file."""

import asyncio
import re
from collections.abc import AsyncIterator
from io import BufferedIOBase
from typing import Any

from aiohttp import web

from console.web.keys import SETTINGS
from console.web.readings import ASKING
from console.web.rendering import NO_STORE, csv_file, render
from console.web.site_choice import SiteChoice, choose_site
from console.web.tables import Column, TableQuery, arrange
from runtime.store import BatchMissing, StoreError, open_store

GRID = 48
MOST_BATCHES = 1_000  # of the list, the newest
PIECE = 256 << 10  # bytes of a download at a time

COLUMNS = (
    Column("batch_id", "Batch", link="/batches/{batch_id}", code=True),
    Column("source", "Source"),
    Column("kind", "Kind"),
    Column("window_from", "Window from (UTC)"),
    Column("window_to", "to (UTC)"),
    Column("record_count", "Records", numeric=True),
    Column("facts_new", "New facts", numeric=True),
    Column("duplicates", "Known", numeric=True),
    Column("conflicts", "Conflicts", numeric=True),
    Column("closed_by", "Closed by"),
    Column("bytes", "Bytes", numeric=True),
)


def add_batches_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/batches", show_batches)
    app.router.add_get("/batches/{batch_id}", show_batch)
    app.router.add_get("/batches/{batch_id}/file", download)


async def show_batches(request: web.Request) -> web.Response:
    """The grid and the list of a site."""
    asking, query = request.app[ASKING], TableQuery.read(request.query)
    sites = await asking.sites()
    choice = choose_site(sites.rows, request.query)
    grid: list[dict[str, Any]] = []
    found: dict[str, Any] = {"rows": [], "total": 0}
    if choice.chosen is not None:
        grid = (await asking.one("/api/v1/insight/grid", choice.chosen, limit=str(GRID)))["rows"]
        wanted = {name: request.query.get(name) for name in ("source", "kind")}
        found = await asking.one("/api/v1/insight/batches", choice.chosen, limit=str(MOST_BATCHES), **wanted)
    table = arrange([_listed(row) for row in found["rows"]], COLUMNS, query, "Batches")
    if query.csv:
        return csv_file(table, "batches.csv")
    return render(request, "batches.html", _context(choice, sites.remarks, grid, found, table))


def _context(
    choice: SiteChoice, remarks: list[str], grid: list[dict[str, Any]], found: dict[str, Any], table: Any
) -> dict[str, Any]:
    complete = sum(row["complete"] for row in grid)
    return {
        "choice": choice,
        "remarks": remarks,
        "grid": grid,
        "complete": complete,
        "total": found["total"],
        "most": MOST_BATCHES,
        "table": table,
    }


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    windows = row["windows"]
    return {
        **row,
        "window_from": min((window["start"] for window in windows), default=None),
        "window_to": max((window["end"] for window in windows), default=None),
    }


async def show_batch(request: web.Request) -> web.Response:
    """One batch: its manifest, and its way from offsets to runs."""
    found = await _find(request)
    return render(request, "batch.html", {"batch": found["batch"], "runs": found["runs"]})


async def download(request: web.Request) -> web.StreamResponse:
    """The batch's file. Its path is the catalogue's; nothing of the address reaches the store."""
    batch = (await _find(request))["batch"]
    store = open_store(request.app[SETTINGS].store)
    try:
        file = await asyncio.to_thread(store.open, batch["path"])
    except BatchMissing as error:
        raise web.HTTPNotFound(text=f"the store has no file of batch {batch['batch_id']}: {error}") from error
    except StoreError as error:
        raise web.HTTPBadGateway(text=str(error)) from error
    response = web.StreamResponse(headers={**NO_STORE, "Content-Disposition": _attachment(batch["batch_id"])})
    response.content_type, response.content_length = "application/octet-stream", batch["bytes"]
    try:
        await response.prepare(request)
        async for piece in _pieces(file):
            await response.write(piece)
        await response.write_eof()
        return response
    finally:
        await asyncio.to_thread(file.close)


async def _find(request: web.Request) -> dict[str, Any]:
    """
    Raises:
        NotFound: no worker has loaded such a batch.
    """
    return await request.app[ASKING].one("/api/v1/insight/batch", None, batch_id=request.match_info["batch_id"])


async def _pieces(file: BufferedIOBase) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


def _attachment(batch_id: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", batch_id).lstrip(".")[:150] or "batch"
    return f'attachment; filename="{name}.avro"'
