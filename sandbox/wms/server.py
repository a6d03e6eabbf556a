"""The fake WMS: applies each chunk once by its idempotency key, counts what came, and misbehaves by script."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from sandbox.wms.faults import Fault
from sandbox.wms.scripted import ScriptedServer, end_connection
from schemas.delivery import (
    IDEMPOTENCY_HEADER,
    PATH,
    SCHEMA_VERSION,
    VERSION_HEADER,
    DeliveredRow,
    DeliveryChunk,
    Receipt,
)

SLOW_OCTET_S = 0.2

_BEFORE = {  # faults that come before any effect, and their answers
    Fault.ERROR: 503,
    Fault.UNAVAILABLE: 503,
    Fault.REFUSED: 422,
    Fault.THROTTLED: 429,
    Fault.THROTTLED_SILENTLY: 429,
}


@dataclass(slots=True)
class Applied:
    """A chunk that took effect, and how often it was sent again."""

    chunk: DeliveryChunk
    again: int = 0


@dataclass
class FakeWms(ScriptedServer):
    """A `ScriptedServer` that takes chunks.

    `rows` is what it knows: (site, SKU) → row. `applied` are the chunks by idempotency key, in the order of their
    effect.
    """

    path: ClassVar[str] = PATH

    rows: dict[tuple[str, str], DeliveredRow] = field(default_factory=dict[tuple[str, str], DeliveredRow])
    applied: dict[str, Applied] = field(default_factory=dict[str, Applied])
    faults: Counter[Fault] = field(default_factory=Counter[Fault])
    request_ids: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        fault = self.next_fault()
        if fault:
            self.faults[fault] += 1
        if self.script.latency_s:
            await asyncio.sleep(self.script.latency_s)
        if fault is Fault.RESET:
            return self.hang_up(request)
        body = await request.read()
        if fault is not None and fault in _BEFORE:
            return self._answer(_BEFORE[fault], {"error": fault}, self.retry_after(fault))
        return await self._apply(request, body, fault)

    async def _apply(self, request: web.Request, body: bytes, fault: Fault | None) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.request_ids.append(request.headers.get("X-Request-ID", ""))
        key = request.headers.get(IDEMPOTENCY_HEADER)
        if key is None or request.headers.get(VERSION_HEADER) != str(SCHEMA_VERSION):
            return self._answer(400, {"error": f"needs {IDEMPOTENCY_HEADER} and {VERSION_HEADER}: {SCHEMA_VERSION}"})
        try:
            chunk = msgspec.json.decode(body, type=DeliveryChunk)
        except msgspec.ValidationError as error:
            return self._answer(400, {"error": str(error)})
        receipt = self._receipt(key, chunk)
        match fault:
            case Fault.RESET_LATE:
                return self.hang_up(request)
            case Fault.BROKEN:
                return self._answer(500, {"error": fault})
            case Fault.SLOW_BODY | Fault.HALF_BODY:
                return await self._dribble(request, msgspec.json.encode(receipt), whole=fault is Fault.SLOW_BODY)
            case Fault.WRONG_JSON:
                return self._answer(200, "well received")
            case _:
                return self._answer(200, _drifted(msgspec.to_builtins(receipt), fault))

    def _receipt(self, key: str, chunk: DeliveryChunk) -> Receipt:
        """Apply the chunk, once."""
        if known := self.applied.get(key):
            known.again += 1
        else:
            self.applied[key] = Applied(chunk)
            for sku in [sku for site, sku in self.rows if site == chunk.site_id]:
                if any(span.holds(sku) for span in chunk.covers):
                    del self.rows[chunk.site_id, sku]
            for row in chunk.rows:
                self.rows[chunk.site_id, row.sku] = row
            for sku in chunk.removed:
                self.rows.pop((chunk.site_id, sku), None)
        return Receipt(
            schema_version=SCHEMA_VERSION,
            idempotency_key=key,
            status="duplicate" if known else "applied",
            rows=len(chunk.rows),
            removed=len(chunk.removed),
        )

    def _answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> web.Response:
        self.statuses[status] += 1
        if isinstance(content, str):
            return web.Response(status=status, text=content, headers=headers)
        return web.json_response(content, status=status, headers=headers)

    async def _dribble(self, request: web.Request, body: bytes, *, whole: bool) -> web.StreamResponse:
        response = await self.begin_body(request, body)
        for octet in body if whole else body[: len(body) // 2]:
            await response.write(bytes((octet,)))
            await asyncio.sleep(SLOW_OCTET_S if whole else 0)
        if not whole:
            end_connection(request)
        return response


def _drifted(receipt: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """A receipt as another version of the WMS would write it."""
    match fault:
        case Fault.NEW_VERSION:
            return {**receipt, "schema_version": SCHEMA_VERSION + 1}
        case Fault.MISSING_FIELD:
            return {name: value for name, value in receipt.items() if name != "status"}
        case Fault.CHANGED_TYPE:
            return {**receipt, "rows": str(receipt["rows"])}
        case _:
            return receipt
