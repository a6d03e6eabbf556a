"""`/letters/group/{group}/dry-run`: what a replay would do, letter by letter through the real gate; nothing is sent."""

import asyncio

from aiohttp import web

from console.client import NotFound
from console.desk.indexed import State
from console.desk.recipes import Recipe, saved_recipe
from console.desk.replay_order import ReplayOrder
from console.web.keys import SETTINGS
from console.web.letters.desk import DESK
from console.web.letters.dry_run_view import shown_dry_run
from console.web.letters.recipe_form import read_form
from console.web.letters.repair_page import describe, find_group
from console.web.letters.trials import Trial, Trials
from console.web.rendering import render

PATH = "/letters/group/{group}/dry-run"
PATIENCE_S = 2.0  # most groups are judged by then; of others the page says how far it is

TRIALS = web.AppKey("TRIALS", Trials)


def add_dry_run_routes(app: web.Application) -> None:
    """Routes of this module."""
    app[TRIALS] = Trials()
    app.on_shutdown.append(_close)
    app.router.add_post(PATH, begin_dry_run)
    app.router.add_get(f"{PATH}/{{trial}}", show_dry_run)


async def _close(app: web.Application) -> None:
    await app[TRIALS].close()


async def begin_dry_run(request: web.Request) -> web.Response:
    """Judge every letter of the group that waits, by the recipe that the form has as a text, or names.

    Raises:
        TooManyDryRuns: others are under way.
    """
    summary, _ = await find_group(request)
    settings = request.app[SETTINGS]
    recipe, problem = await _recipe_of(request)
    trial = Trial(summary.id, recipe, summary.waiting)
    if not problem:
        letters = request.app[DESK].letters_of(summary.id, (State.WAITING,))
        request.app[TRIALS].begin(settings, trial, ReplayOrder.of(settings, why="", recipe=recipe), letters)
    return await _show(request, trial, problem)


async def show_dry_run(request: web.Request) -> web.Response:
    """How far it is, or its result."""
    trial = request.app[TRIALS].find(request.match_info["trial"])
    if trial is None or trial.group != request.match_info["group"]:
        raise NotFound("the console has forgotten this dry run: nothing was sent, so just ask for it again")
    return await _show(request, trial)


async def _show(request: web.Request, trial: Trial, problem: str = "") -> web.Response:
    summary, _ = await find_group(request)
    result = None if problem else await trial.result(PATIENCE_S)
    context = {
        "tab": "groups",
        "group": summary.id,
        "title": describe(summary),
        "trial": trial,
        "recipe": trial.recipe,
        "problem": problem,
        "shown": None if result is None else await asyncio.to_thread(shown_dry_run, result),
    }
    return render(request, "letters/dry_run.html", context)


async def _recipe_of(request: web.Request) -> tuple[Recipe | None, str]:
    """The recipe of a form, and what is wrong with its text; neither where letters go back as they are."""
    form = await request.post()
    folder = request.app[SETTINGS].desk.recipes
    if "text" in form:
        read = read_form(str(form["text"]), ())
        return read.recipe, read.problem
    name = str(form.get("recipe", ""))
    return (await asyncio.to_thread(saved_recipe, folder, name) if name else None), ""
