"""`/letters/group/{group}/replay`: a dry run, and the replay itself; and setting a group aside."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from console.desk.indexed import State
from console.desk.recipes import Recipe, saved_recipe
from console.desk.replay_job import ReplayJob
from console.desk.replay_order import ReplayOrder
from console.desk.set_aside import set_aside
from console.errors import UsageError
from console.web.callers import caller_of
from console.web.keys import SETTINGS
from console.web.letters.desk import DESK
from console.web.letters.jobs import About
from console.web.letters.jobs_page import JOBS
from console.web.letters.repair_page import describe, find_group
from console.web.rendering import render
from console.web.visible import visible
from runtime.settings import Settings

LONGEST_WHY = 500
LEAST_A_SECOND, MOST_A_SECOND, MOST_FIRST = 0.1, 1_000_000, 100_000

Form = Mapping[str, Any]


def add_replay_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/letters/group/{group}/replay", show_replay)
    app.router.add_post("/letters/group/{group}/replay", begin_replay)
    app.router.add_post("/letters/group/{group}/act", act_on_group)


async def show_replay(request: web.Request) -> web.Response:
    """What would be sent, how it is repaired, and the form that begins it."""
    summary, _ = await find_group(request)
    recipe = await _recipe_of(request, request.query.get("recipe"))
    context = {
        "tab": "groups",
        "index": request.app[DESK].follower.state,
        "group": summary.id,
        "summary": summary,
        "title": describe(summary),
        "recipe": recipe,
        "settings": request.app[SETTINGS].desk,
        "canary": ReplayOrder.of(request.app[SETTINGS], why="", recipe=recipe).canary,
        "current": request.app[JOBS].current,
    }
    return render(request, "letters/replay.html", context)


async def begin_replay(request: web.Request) -> web.Response:
    """Begin it.

    Raises:
        HTTPSeeOther: it runs; its page says how it goes on.
        ReplayRuns: another one does.
        UsageError: a field makes no sense.
    """
    summary, _ = await find_group(request)
    data, settings = await request.post(), request.app[SETTINGS]
    recipe = await _recipe_of(request, str(data.get("recipe", "")))
    order = order_of(data, settings, recipe)
    states = (State.WAITING, State.PARKED) if order.include_parked else (State.WAITING,)
    about = About(
        group=summary.id,
        recipe=recipe.name if recipe else None,
        who=caller_of(request).name,
        why=order.why,
        letters=sum(summary.by_state[state] for state in states),
    )
    if not about.letters:
        raise UsageError("no letter of this group waits: each was replayed, parked or discarded")
    letters = request.app[DESK].letters_of(summary.id, states)
    run = request.app[JOBS].begin(ReplayJob(settings, order, letters, about.who), about)
    query = {"group": summary.id, **({"recipe": recipe.name} if recipe else {})}
    raise web.HTTPSeeOther(request.app.router["job"].url_for(run=run.id).with_query(query))


def order_of(data: Form, settings: Settings, recipe: Recipe | None) -> ReplayOrder:
    """What a form orders: an empty field leaves what the settings say, but for the rate, which is then unlimited.

    Raises:
        UsageError: a field makes no sense.
    """
    order = ReplayOrder.of(settings, why=why_of(data), recipe=recipe)
    first, share = number_of(data, "canary", 0, MOST_FIRST), number_of(data, "abort_above", 0, 100)
    return replace(
        order,
        canary=order.canary if first is None else int(first),
        abort_above=order.abort_above if share is None else share / 100,
        rate=number_of(data, "rate", LEAST_A_SECOND, MOST_A_SECOND),
        include_parked=data.get("include_parked") == "1",
        follow=True,
    )


async def act_on_group(request: web.Request) -> web.Response:
    """Park or discard what of a group nothing was done about yet.

    Raises:
        HTTPSeeOther: it is done.
        UsageError: there is no reason, or no such act.
    """
    summary, _ = await find_group(request)
    data, desk = await request.post(), request.app[DESK]
    why, act = why_of(data), data.get("act")
    if act == "discard":
        letters = desk.letters_of(summary.id, (State.WAITING, State.PARKED))
        await set_aside(request.app[SETTINGS], "discard", letters, why, caller_of(request).name)
    elif act == "park":
        letters = desk.letters_of(summary.id, (State.WAITING,))
        await set_aside(request.app[SETTINGS], "park", letters, why, caller_of(request).name)
    else:
        raise UsageError("act: park or discard")
    await desk.catch_up()
    raise web.HTTPSeeOther(f"/letters/group/{summary.id}")


def why_of(data: Form) -> str:
    """The reason in a form.

    Raises:
        UsageError: there is none.
    """
    why = visible(str(data.get("why", "")).strip())[:LONGEST_WHY]
    if not why:
        raise UsageError("say why: the audit log keeps the reason")
    return why


def number_of(data: Form, name: str, least: float, most: float) -> float | None:
    """A number in a form; None where the field is empty.

    Raises:
        UsageError: it is none, or out of bounds.
    """
    text = str(data.get(name, "")).strip()
    try:
        number = float(text) if text else None
    except ValueError:
        number = float("nan")
    if number is not None and not least <= number <= most:
        raise UsageError(f"{name}: write a number from {least:g} to {most:g}")
    return number


async def _recipe_of(request: web.Request, name: str | None) -> Recipe | None:
    folder = request.app[SETTINGS].desk.recipes
    return await asyncio.to_thread(saved_recipe, folder, name) if name else None
