"""Asking for deliveries, and following them until they are through."""

import asyncio
from typing import Any

import msgspec

from console import screen
from console.client import BatchApi, Question
from console.errors import CommandFailed
from runtime.settings import Settings

FOLLOW_S = 0.5

Row = dict[str, Any]


class ChunksFailed(CommandFailed):
    """A delivery ended, and not all of it was acknowledged."""


async def sinks(settings: Settings) -> list[Row]:
    """How every sink stands, by all workers."""
    async with BatchApi(settings) as api:
        return await _rows(api)


async def resume(settings: Settings, name: str) -> bool:
    """Let a stopped sink go on at all workers; returns whether it was stopped at any."""
    async with BatchApi(settings) as api:
        answers = await api.ask(Question("/api/v1/sinks/resume", body={"sink": name}), None)
    return any(msgspec.json.decode(answer)["was_stopped"] for answer in answers)


async def deliver(settings: Settings, body: Row) -> list[Row]:
    """Ask for deliveries and follow them; how each stands once nothing goes on any more.

    Raises:
        Refusal: the schedule keeps all of them closed.
        ChunksFailed: some were not acknowledged in full.
    """
    async with BatchApi(settings) as api:
        answers = await api.ask(Question("/api/v1/deliveries", body=body), body["site_id"])
        asked = [row for answer in answers for row in msgspec.json.decode(answer)["rows"]]
        for closed in (name for answer in answers for name in msgspec.json.decode(answer)["closed"]):
            screen.remark(f"{closed} is left out: closed by the schedule", style="yellow")
        wanted = {_name(row) for row in asked}
        said = ""
        while True:
            rows = [row for row in await _rows(api) if _name(row) in wanted]
            open_ones = [row for row in rows if not row["done"]]
            if (now := _progress(rows)) != said:
                said = now
                screen.remark(now)
            if all(_has_ended(row) for row in open_ones):
                break
            await asyncio.sleep(FOLLOW_S)
    if open_ones:
        raise ChunksFailed("; ".join(f"{' '.join(_name(row))}: {row['waiting']}" for row in open_ones))
    return rows


async def _rows(api: BatchApi) -> list[Row]:
    rows = await api.rows(Question("/api/v1/sinks"), None)
    return sorted(rows, key=_name)


def _name(row: Row) -> tuple[str, str, str]:
    return row["sink"], row["site_id"], row["horizon"]


def _has_ended(row: Row) -> bool:
    """Whether nothing more becomes of it by itself: stopped, closed by now, or with failed chunks alone."""
    if row["requested"] or row["in_hand"]:
        return bool(row["stopped"])
    unsettled = sum(row["chunks"][progress] for progress in ("pending", "sending", "dropped"))
    return (
        bool(row["stopped"])
        or row["waiting"] == "closed by the schedule"
        or bool(row["chunks"]["failed"] and not unsettled)
    )


def _progress(rows: list[Row]) -> str:
    done = sum(row["done"] for row in rows)
    chunks = sum(sum(row["chunks"].values()) for row in rows)
    through = sum(row["chunks"]["acknowledged"] for row in rows)
    backlog = sum(row["backlog_skus"] for row in rows)
    of_chunks = f", {through} of {chunks} chunks acknowledged" if chunks else ""
    waits = dict.fromkeys(f"\n{' '.join(_name(row))} waits: {row['waiting']}" for row in rows if row["waiting"])
    return f"{done} of {len(rows)} deliveries through{of_chunks}; {backlog:,} SKUs to go{''.join(waits)}"
