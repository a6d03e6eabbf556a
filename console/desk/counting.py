"""What the batch stage has made of an event: is it held, in conflict, and of which run is it a part?"""

import asyncio
from dataclasses import dataclass
from typing import Any

from console.client import BatchApi, NotFound, Question
from console.desk.whereabouts import InBatch
from console.errors import CommandFailed

PATIENCE_S = 15.0
MANY = "10000"


@dataclass(frozen=True, slots=True)
class Counted:
    """`held` is why it does not count yet, `conflict` the batch whose body counts instead, `run_id` the newest run.

    The run is named only if it was made of the facts that are there, this batch's among them; else `note` says why not.
    """

    held: str | None = None
    conflict: str | None = None
    run_id: str | None = None
    as_of: str | None = None
    note: str = ""


async def ask_batch_stage(api: BatchApi, event: InBatch) -> Counted:
    """Ask the owner of the site. One that does not answer is a note, not an error."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _ask(api, event)
    except TimeoutError:
        return Counted(note=f"the batch worker did not answer within {PATIENCE_S:g} s")
    except CommandFailed as error:
        return Counted(note=str(error))


async def _ask(api: BatchApi, event: InBatch) -> Counted:
    loaded = await _rows(api, "/api/v1/batches", event, batch_id=event.batch_id)
    if all(row["batch_id"] != event.batch_id for row in loaded):
        return Counted(note="the batch worker has not loaded it yet")
    held = await _rows(api, "/api/v1/facts/held", event)
    reason = next((row["reason"] for row in held if _is(row, event)), None)
    if reason is not None:
        return Counted(held=reason)
    lost = [row for row in await _rows(api, "/api/v1/conflicts", event) if _is(row, event)]
    rival = next((row["counted_batch_id"] for row in lost if row["batch_id"] == event.batch_id), None)
    if rival is not None:
        return Counted(conflict=rival)
    return await _run_of(api, event)


async def _run_of(api: BatchApi, event: InBatch) -> Counted:
    question = Question("/api/v1/explain", {"sku": event.sku, "site_id": event.site_id})
    try:
        rows = await api.rows(question, event.site_id)
    except NotFound:
        return Counted(note="no run has this SKU yet")
    for row in rows:
        if not row["up_to_date"]:
            return Counted(note="the newest run is older than these facts")
        if any(origin["batch_id"] == event.batch_id for origin in row["batches"]):
            return Counted(run_id=row["result"]["run_id"], as_of=row["as_of"])
    return Counted(note="the newest run does not reach its event time, or the same fact came in another batch")


def _is(row: dict[str, Any], event: InBatch) -> bool:
    return row["event_id"] == event.event_id and row["source"] == event.source.value


async def _rows(api: BatchApi, path: str, event: InBatch, **more: str) -> list[dict[str, Any]]:
    try:
        return await api.rows(Question(path, {"site_id": event.site_id, "limit": MANY, **more}), event.site_id)
    except NotFound:
        return []
