"""`/audit`: the proof that nothing was lost, made when it is asked for; and who did what, when and why."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from console.audit import Totals
from console.audit_run import AuditReport
from console.insight.audit_desk import Audit
from console.web.live import Parts, add_live_feed
from console.web.readings import AUDITS, LOGS
from console.web.rendering import csv_file, fragment, render
from console.web.tables import Column, TableQuery, arrange
from schemas.instants import rfc3339
from schemas.records import AuditEntry

EVERY_S = 0.5
SHOWN = 50  # problems and notes

COLUMNS = (
    Column("at", "When"),
    Column("who", "Who"),
    Column("action", "What"),
    Column("why", "Why"),
    Column("what", "Of what"),
)


def add_audit_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/audit", show_audit)
    app.router.add_post("/audit/run", start_audit)
    add_live_feed(app, "/audit/live", live_audit, EVERY_S)


async def show_audit(request: web.Request) -> web.Response:
    """The last audit and the trail, or the trail as CSV."""
    trail = await request.app[LOGS].trail()
    rows = [trail_row(entry) for entry in trail.entries]
    table = arrange(rows, COLUMNS, TableQuery.read(request.query), "Audit trail")
    if table.query.csv:
        return csv_file(table, "audit-trail.csv")
    context = {"table": table, "trail": trail, **audit_context(request.app[AUDITS].audit)}
    return render(request, "audit.html", context)


async def start_audit(request: web.Request) -> web.Response:
    """Begin an audit, and lead back to the page, which shows it; one that is running is shown instead."""
    form = await request.post()
    request.app[AUDITS].start(deep=form.get("deep") == "yes")
    raise web.HTTPSeeOther("/audit")


async def live_audit(app: web.Application, _: Mapping[str, str]) -> Parts:
    """How far the audit is."""
    return {"audit": fragment(app, "fragments/audit.html", audit_context(app[AUDITS].audit))}


def audit_context(audit: Audit) -> dict[str, Any]:
    """What templates show of an audit."""
    report = audit.report
    return {"audit": audit, "accounts": [] if report is None else accounts_of(report), "shown": SHOWN}


def accounts_of(report: AuditReport) -> list[tuple[str, Totals]]:
    """Where every record is, by source topic and in all."""
    return [*report.by_source.items(), ("all", report.totals)]


def trail_row(entry: AuditEntry) -> dict[str, Any]:
    """An entry of the audit log as a row."""
    what = ", ".join(f"{name}: {text}" for name, text in entry.what.items())
    return {"at": rfc3339(entry.at), "who": entry.who, "action": entry.action, "why": entry.why, "what": what}
