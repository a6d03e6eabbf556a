"""The web console in a test: the real application on a port of its own, with tokens, and a page that shows anything."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from console import tokens
from console.web.app import build_app
from console.web.charts import Chart, Series
from console.web.live import add_live_feed
from console.web.rendering import csv_file, fragment, render
from console.web.tables import Column, TableQuery, arrange
from runtime.access import Role
from runtime.health import serve_http
from runtime.settings import Settings
from sandbox.kafka.probe import free_port

SAMPLE = """
{% extends "base.html" %}
{% from "macros/tables.html" import data_table %}
{% from "macros/charts.html" import chart as draw %}
{% from "macros/states.html" import badge, empty, failure, figure, live_status, loading %}
{% block title %}Sample{% endblock %}
{% block content %}
<h1>{{ shown[0] }}</h1>
<dl class="figures">{{ figure("Rows", shown | length, "of all") }}{{ figure("Bad", 3, tone="bad") }}</dl>
<p>{{ badge("good", shown[0]) }} {{ badge("warn", "late") }} {{ badge("bad", "failed") }}</p>
<section data-live="/sample/live" aria-label="Live">
<p>{{ live_status() }}</p>
<div data-live-part="count">{{ count }}</div>
</section>
{{ failure(shown[0], 502) }}{{ empty(shown[0], "Nothing was sent yet.") }}{{ loading("busy") }}
{{ draw(chart) }}
{{ data_table(table) }}
<form method="post" action="/sample" class="form">
<input type="hidden" name="csrf" value="{{ csrf }}">
<label>Reason <input name="reason" value="{{ shown[0] }}"></label>
<div><button class="primary">Act</button> <button class="danger">Discard</button></div>
</form>
{% endblock %}
"""

COLUMNS = (
    Column("text", "Text", link="/sample?q={text}"),
    Column("code", "Code", code=True),
    Column("amount", "Amount", numeric=True),
)


@dataclass
class ConsoleWorld:
    """A console that is not started yet. Neither Kafka nor a batch worker is there, unless settings say where."""

    directory: Path
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    shown: Sequence[str] = ("plain",)
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    count: int = 0
    acts: list[str] = field(default_factory=list[str])
    _runner: web.AppRunner | None = None

    @property
    def tokens_file(self) -> Path:
        """Where its tokens are."""
        return self.directory / "tokens.json"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def token(self, name: str, role: Role = Role.OPERATOR, expires_at_ms: int | None = None) -> str:
        """A new token; from now on everybody needs one."""
        return tokens.create(self.tokens_file, name, role, expires_at_ms)

    def revoke(self, name: str) -> None:
        """Take a token away."""
        tokens.revoke(self.tokens_file, name)

    def settings(self) -> Settings:
        """What it is started with."""
        serve = {"host": self.host, "port": self.port, **self.changes.get("serve", {})}
        if self.tokens_file.exists():
            serve["tokens_file"] = self.tokens_file
        nobody = f"127.0.0.1:{free_port()}"
        return Settings(
            **{
                "state_dir": self.directory / "state",
                "kafka": {"bootstrap_servers": nobody},
                "api": {"url": f"http://{nobody}"},
                **self.changes,
                "serve": serve,
            }
        )

    async def start(self) -> None:
        """Serve, with the sample page."""
        app = build_app(self.settings())
        self._add_sample(app)
        self._runner, _ = await serve_http(app, self.host, self.port, finish_s=2.0)

    async def stop(self) -> None:
        """End as `velocity serve` does."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _add_sample(self, app: web.Application) -> None:
        environment = aiohttp_jinja2.get_env(app)
        assert environment.loader is not None
        own = jinja2.DictLoader({"sample.html": SAMPLE, "part.html": "<b>{{ text }}</b> {{ count }}"})
        environment.loader = jinja2.ChoiceLoader([environment.loader, own])
        app.router.add_get("/sample", self._show)
        app.router.add_post("/sample", self._act)
        add_live_feed(app, "/sample/live", self._parts, every_s=0.1)

    async def _show(self, request: web.Request) -> web.Response:
        rows = [
            {"text": text, "code": text[::-1], "amount": None if index == 3 else index * 1250}
            for index, text in enumerate(self.shown)
        ]
        table = arrange(rows, COLUMNS, TableQuery.read(request.query), "Samples")
        if table.query.csv:
            return csv_file(table, "samples.csv")
        values = [float(index % 7) for index in range(24)]
        lines = [Series(self.shown[0], values), Series("bars", values, kind="bars", right=True)]
        hours = [1_300_000_000.0 + 3600 * index for index in range(24)]
        chart = Chart("hours", self.shown[0], "Hour", hours, lines, time_zone="Europe/London")
        context = {"shown": self.shown, "count": self.count, "table": table, "chart": chart}
        return render(request, "sample.html", context)

    async def _act(self, request: web.Request) -> web.Response:
        self.acts.append(str((await request.post()).get("reason", "")))
        return web.Response(text="done")

    async def _parts(self, app: web.Application, _: Mapping[str, str]) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return {"count": fragment(app, "part.html", {"text": self.shown[0], "count": self.count})}


@asynccontextmanager
async def running(world: ConsoleWorld) -> AsyncIterator[ConsoleWorld]:
    """A console, started and stopped."""
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
