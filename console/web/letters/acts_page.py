"""`/letters/acts`: who did what to which letters, the newest first."""

from aiohttp import web

from console.desk.indexed import IndexedAct
from console.web.letters.desk import DESK
from console.web.letters.story import WORDS
from console.web.rendering import csv_file, render
from console.web.tables import Column, Row, TableQuery, arrange
from console.web.visible import clipped, visible
from schemas.instants import rfc3339

SHOWN = 500

COLUMNS = (
    Column("at", "When (UTC)"),
    Column("what", "What"),
    Column("letter", "Letter", code=True),
    Column("who", "Who"),
    Column("why", "Reason"),
    Column("recipe", "Recipe"),
    Column("sent_to", "Sent to", code=True),
    Column("failed_again_as", "Failed again as", code=True),
    Column("run", "Of", code=True),
    Column("seq", "Entry", numeric=True),
)


def add_acts_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/letters/acts", show_acts)


async def show_acts(request: web.Request) -> web.Response:
    """The newest acts on letters, as the audit log has them."""
    acts = await request.app[DESK].ask(lambda index: index.newest_acts(SHOWN))
    table = arrange([act_row(act) for act in acts], COLUMNS, TableQuery.read(request.query), "Acts")
    if table.query.csv:
        return csv_file(table, "dead-letter-acts.csv")
    context = {"tab": "acts", "table": table, "shown": SHOWN, "index": request.app[DESK].follower.state}
    return render(request, "letters/acts.html", context)


def act_row(act: IndexedAct) -> Row:
    """An act in the list."""
    return {
        "at": rfc3339(act.at),
        "what": WORDS.get(act.action, act.action),
        "letter": act.letter,
        "who": clipped(visible(act.who)),
        "why": clipped(visible(act.why)),
        "recipe": None if act.recipe is None else clipped(visible(act.recipe)),
        "sent_to": act.sent_to,
        "failed_again_as": act.failed_again_as,
        "run": act.run,
        "seq": act.seq,
    }
