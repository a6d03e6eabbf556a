"""`/letters/jobs`: replays and how they go on, live; buttons that pause, resume and stop them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from console.client import NotFound
from console.web.keys import SETTINGS
from console.web.letters.desk import DESK
from console.web.letters.jobs import Jobs, Run
from console.web.letters.progress import shown_progress
from console.web.live import Parts, add_live_feed
from console.web.rendering import fragment, render
from console.web.tables import Column, Row, TableQuery, arrange
from console.web.visible import clipped, visible
from schemas.instants import rfc3339

LIVE = "/letters/jobs/live"
EVERY_S = 0.5

COLUMNS = (
    Column("run", "Replay", link="/letters/jobs/{run}", code=True),
    Column("state", "State"),
    Column("group", "Group", link="/letters/group/{group}", code=True),
    Column("recipe", "Recipe"),
    Column("sent", "Sent", numeric=True),
    Column("failed_again", "Failed again", numeric=True),
    Column("who", "Who"),
    Column("why", "Reason"),
    Column("began_at", "Begun (UTC)"),
)

JOBS = web.AppKey("JOBS", Jobs)


def add_jobs_routes(app: web.Application) -> None:
    """Routes of this module. The desk must be there."""
    app[JOBS] = Jobs(app[DESK].follower.hurry)
    app.on_shutdown.append(_close)
    app.router.add_get("/letters/jobs", show_jobs)
    add_live_feed(app, LIVE, produce, EVERY_S)
    app.router.add_get("/letters/jobs/{run}", show_job, name="job")
    app.router.add_post("/letters/jobs/{run}/{act:pause|resume|stop}", act_on_job)


async def _close(app: web.Application) -> None:
    await app[JOBS].close()


async def show_jobs(request: web.Request) -> web.Response:
    """The replays of this process."""
    rows = [_row(run) for run in request.app[JOBS]]
    table = arrange(rows, COLUMNS, TableQuery.read(request.query), "Replays")
    return render(request, "letters/jobs.html", {"tab": "jobs", "table": table})


def _row(run: Run) -> Row:
    progress, about = run.progress, run.about
    return {
        "run": run.id,
        "state": progress.state.value,
        "group": about.group,
        "recipe": about.recipe or "as they are",
        "sent": progress.sent,
        "failed_again": progress.failed_again,
        "who": clipped(visible(about.who)),
        "why": clipped(visible(about.why)),
        "began_at": rfc3339(run.began_at),
    }


async def show_job(request: web.Request) -> web.Response:
    """One replay. Its address names group and recipe, so that it says how to go on even if this process never knew
    it."""
    run_id = request.match_info["run"]
    run = request.app[JOBS].find(run_id)
    names = ("group", "recipe")
    params = {name: request.query[name] for name in names if request.query.get(name)}
    if run is not None:
        params = {"group": run.about.group, **({"recipe": run.about.recipe} if run.about.recipe else {})}
    feed = f"{LIVE}?{urlencode({'run': run_id, **params})}"
    context = {"tab": "jobs", "run_id": run_id, "run": run, "params": params, "feed": feed}
    parts = _parts(request.app, run_id, params)
    return render(request, "letters/job.html", {**context, "parts": parts}, 200 if run or params else 404)


async def produce(app: web.Application, params: Mapping[str, str]) -> Parts:
    """The live parts of a replay's page."""
    known = {name: params[name] for name in ("group", "recipe") if params.get(name)}
    return {
        name: fragment(app, f"letters/{name}.html", context)
        for name, context in _parts(app, params.get("run", ""), known).items()
    }


def _parts(app: web.Application, run_id: str, params: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the templates of the live parts are given."""
    run = app[JOBS].find(run_id)
    shown = None if run is None else shown_progress(run, app[SETTINGS].desk.verdict_timeout.total_seconds())
    context = {"run": run, "shown": shown, "params": params, "run_id": run_id}
    return {"job_progress": context, "job_buttons": context}


async def act_on_job(request: web.Request) -> web.Response:
    """Pause, resume or stop: between two transactions. A form goes back to the page; a script only hears that it was
    done."""
    run = request.app[JOBS].find(request.match_info["run"])
    if run is None:
        raise NotFound(f"this console runs no replay {clipped(visible(request.match_info['run']))}")
    {"pause": run.job.pause, "resume": run.job.resume, "stop": run.job.stop}[request.match_info["act"]]()
    if "HX-Request" in request.headers:
        return web.Response(status=204)
    raise web.HTTPSeeOther(f"/letters/jobs/{run.id}")
