"""What pages read, kept for the life of the application."""

from collections.abc import AsyncIterator

from aiohttp import web

from console.insight.asking import Asking
from console.insight.audit_desk import AuditDesk
from console.insight.flow_watch import FlowWatch
from console.insight.logs import TopicLogs
from console.web.keys import SETTINGS

ASKING = web.AppKey("ASKING", Asking)
FLOW = web.AppKey("FLOW", FlowWatch)
LOGS = web.AppKey("LOGS", TopicLogs)
AUDITS = web.AppKey("AUDITS", AuditDesk)


def add_readings(app: web.Application) -> None:
    """Make them; connections are opened by the first page that needs them."""
    settings = app[SETTINGS]
    app[ASKING] = Asking(settings)
    app[FLOW] = FlowWatch(settings, app[ASKING])
    app[LOGS] = TopicLogs(settings)
    app[AUDITS] = AuditDesk(settings)
    app.cleanup_ctx.append(_closing)


async def _closing(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[FLOW].close()
