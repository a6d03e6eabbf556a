"""`/letters/group/{group}/repair`: a recipe is written, tried on samples, and saved."""

import asyncio
import time
from typing import Any

from aiohttp import web

from console.client import NotFound
from console.desk.index import DeskIndex
from console.desk.indexed import GroupSummary, IndexedLetter, State
from console.desk.letter_filter import LetterFilter
from console.desk.recipes import Recipe, save_recipe, saved_recipe, saved_recipes, written
from console.web.keys import SETTINGS
from console.web.letters.desk import DESK
from console.web.letters.drafts import STEPS, draft, pointer_of, step_text
from console.web.letters.list_pages import source_topics
from console.web.letters.overview import source_name
from console.web.letters.preview import Previewed, preview
from console.web.letters.recipe_form import RecipeForm, read_form
from console.web.rendering import render
from console.web.visible import visible

PATH = "/letters/group/{group}/repair"
SAMPLES = 5


def add_repair_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get(PATH, show_form)
    app.router.add_post(PATH, take_form)


async def find_group(request: web.Request, samples: int = 0) -> tuple[GroupSummary, list[IndexedLetter]]:
    """The group of an address, and some of its letters: those that wait, where there are any.

    Raises:
        NotFound: there is none.
    """
    group_id = request.match_info["group"]
    wanted = LetterFilter(groups=frozenset({group_id}))

    def read(index: DeskIndex) -> tuple[GroupSummary | None, list[IndexedLetter]]:
        waiting = index.letters(wanted, states=(State.WAITING,), limit=samples) if samples else []
        return index.group(group_id), waiting or (index.letters(wanted, limit=samples) if samples else [])

    summary, letters = await request.app[DESK].ask(read)
    if summary is None:
        raise NotFound(f"there is no group {visible(group_id)[:40]} of dead letters, or its letters are forgotten")
    return summary, letters


async def show_form(request: web.Request) -> web.Response:
    """The form, with the saved recipe that the address names, or with a draft for the group."""
    summary, letters = await find_group(request, SAMPLES)
    folder, name = request.app[SETTINGS].desk.recipes, request.query.get("recipe")
    if name:
        text = written(await asyncio.to_thread(saved_recipe, folder, name))
    else:
        text = draft(summary.group, source_topics(request).get(summary.group.topic), letters)
    return await _show(request, summary, letters, text)


async def take_form(request: web.Request) -> web.Response:
    """Judge what was written and try it; save it if that was asked for.

    Raises:
        HTTPSeeOther: it is saved.
    """
    summary, letters = await find_group(request, SAMPLES)
    data = await request.post()
    text, remark = str(data.get("text", "")), ""
    if data.get("do") == "save":
        folder = request.app[SETTINGS].desk.recipes
        form = read_form(text, (await asyncio.to_thread(saved_recipes, folder))[0])
        if form.recipe is not None and (not form.would_replace or data.get("replace") == "1"):
            await asyncio.to_thread(save_recipe, folder, form.recipe)
            raise web.HTTPSeeOther(f"{request.path}?recipe={form.recipe.name}")
        if form.would_replace:
            remark = "Another recipe has this name: choose another, or say below that this one replaces it."
    return await _show(request, summary, letters, text, remark)


async def _show(
    request: web.Request, summary: GroupSummary, letters: list[IndexedLetter], text: str, remark: str = ""
) -> web.Response:
    settings, desk = request.app[SETTINGS], request.app[DESK]
    saved, wrong = await asyncio.to_thread(saved_recipes, settings.desk.recipes)
    form = read_form(text, saved)
    pointer = pointer_of(summary.group.path) or "/field"
    topics = source_topics(request)
    context = {
        "tab": "groups",
        "index": desk.follower.state,
        "group": summary.id,
        "summary": summary,
        "title": describe(summary),
        "form": form,
        "remark": remark,
        "previewed": await _preview(request, form, letters),
        "steps": {op: step_text(op, pointer) for op in STEPS},
        "fitting": [one for one in saved if fits(one, summary, source_name(summary.group.topic, topics))],
        "others": [one for one in saved if not fits(one, summary, source_name(summary.group.topic, topics))],
        "wrong": [visible(text) for text in wrong],
    }
    return render(request, "letters/repair.html", context)


async def _preview(request: web.Request, form: RecipeForm, letters: list[IndexedLetter]) -> list[Previewed]:
    if form.recipe is None:
        return []
    desk = request.app[DESK]
    gates, wholes = await desk.gates(), await desk.wholes(letters)
    now, topics = time.time_ns() // 1_000_000, source_topics(request)
    return await asyncio.to_thread(preview, form.recipe, wholes, gates.of, topics, gates.schemas, now)


def describe(summary: GroupSummary) -> dict[str, Any]:
    """What a group is called in headings."""
    group = summary.group
    return {"error_class": group.error_class, "path": visible(group.path), "producer": visible(group.producer)}


def fits(recipe: Recipe, summary: GroupSummary, source: str) -> bool:
    """Whether a recipe is for the letters of a group."""
    match, group = recipe.match, summary.group
    return (
        (not match.classes or group.error_class in match.classes)
        and match.path in (None, group.path)
        and (match.source is None or match.source.value == source)
        and match.producer in (None, group.producer)
    )
