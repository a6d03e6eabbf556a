"""`/letters/group/{group}/dry-run`: what a replay would do, letter by letter through the real gate; nothing is sent."""

import asyncio

from aiohttp import web

from console.desk.dry_run import dry_run
from console.desk.indexed import State
from console.desk.recipes import Recipe, saved_recipe
from console.desk.replay_order import ReplayOrder
from console.web.keys import SETTINGS
from console.web.letters.desk import DESK
from console.web.letters.dry_run_view import shown_dry_run
from console.web.letters.recipe_form import read_form
from console.web.letters.repair_page import describe, find_group
from console.web.rendering import render


def add_dry_run_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_post("/letters/group/{group}/dry-run", show_dry_run)


async def show_dry_run(request: web.Request) -> web.Response:
    """The result for every letter of the group that waits; of the recipe that the form has as a text, or names."""
    summary, _ = await find_group(request)
    settings = request.app[SETTINGS]
    recipe, problem = await _recipe_of(request)
    shown = None
    if not problem:
        letters = request.app[DESK].letters_of(summary.id, (State.WAITING,))
        result = await dry_run(settings, ReplayOrder.of(settings, why="", recipe=recipe), letters)
        shown = await asyncio.to_thread(shown_dry_run, result)
    context = {
        "tab": "groups",
        "group": summary.id,
        "title": describe(summary),
        "recipe": recipe,
        "problem": problem,
        "shown": shown,
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
