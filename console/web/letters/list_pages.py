"""`/letters`: how many letters there are, and which are alike. `/letters/group/{group}`: what is known of one kind."""

import time
from typing import Any

from aiohttp import web

from console.client import NotFound
from console.desk.index import DeskIndex
from console.desk.indexed import GroupSummary, IndexedLetter, LetterCounts, State, Trend
from console.web.keys import SETTINGS
from console.web.letters.choice import MOST_OF_A_FILE, PAGE, Choice, read_choice
from console.web.letters.desk import DESK
from console.web.letters.follower import IndexState
from console.web.letters.overview import (
    GROUP_COLUMNS,
    LETTER_COLUMNS,
    SPARK_MS,
    group_row,
    letter_row,
    source_name,
    trend_chart,
)
from console.web.letters.samples import SAMPLES, in_common, samples_of
from console.web.rendering import csv_file, render
from console.web.tables import Table, TableQuery, arrange
from schemas.errors import MEANINGS, ErrorClass
from schemas.sources import Source


def add_list_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/letters", show_groups)
    app.router.add_get("/letters/group/{group}", show_group)


def source_topics(request: web.Request) -> dict[str, Source]:
    """The sources by their topics."""
    topics = request.app[SETTINGS].topics
    return {topics.source_topic(source): source for source in Source}


async def show_groups(request: web.Request) -> web.Response:
    """Figures, and the groups of the letters that the filter means."""
    desk, choice = request.app[DESK], read_choice(request.query, request.app[SETTINGS])
    state = await desk.ready()
    confirmed, now = await desk.confirmed(choice), _now()
    retention = await desk.retention()

    def read(index: DeskIndex) -> tuple[LetterCounts, list[GroupSummary], dict[str, Trend]]:
        counts = index.stats(choice.wanted, confirmed=confirmed)
        return counts, index.groups(choice.wanted, confirmed=confirmed), index.trends(now - SPARK_MS)

    counts, groups, trends = await desk.ask(read)
    topics = source_topics(request)
    rows = [
        group_row(group, trends.get(group.id, Trend()), topics, now, retention)
        for group in groups
        if not choice.states or any(group.by_state[state] for state in choice.states)
    ]
    table = arrange(rows, GROUP_COLUMNS, TableQuery.read(request.query), "Groups")
    if table.query.csv:
        return csv_file(table, "dead-letter-groups.csv")
    context = {
        "tab": "groups",
        "choice": choice,
        "counts": counts,
        "by_source": {source_name(topic, topics): count for topic, count in counts.by_topic.items()},
        "table": table,
        **_filter_lists(state),
    }
    return render(request, "letters/groups.html", context)


async def show_group(request: web.Request) -> web.Response:
    """What the letters of a group have in common, samples of them, their trend, and a page of the list."""
    desk, group_id = request.app[DESK], request.match_info["group"]
    choice = read_choice(request.query, request.app[SETTINGS]).of_group(group_id)
    state = await desk.ready()
    confirmed = await desk.confirmed(choice)
    query = TableQuery.read(request.query)
    limit = MOST_OF_A_FILE if query.csv else PAGE + 1

    def read(index: DeskIndex) -> tuple[GroupSummary | None, Trend, list[IndexedLetter], list[IndexedLetter]]:
        found = index.letters(
            choice.wanted, states=choice.states, limit=limit, before=choice.before, confirmed=confirmed
        )
        newest = index.letters(Choice(choice.wanted).of_group(group_id).wanted, limit=SAMPLES)
        return index.group(group_id), index.trend(group_id), found, newest

    summary, trend, found, newest = await desk.ask(read)
    if summary is None:
        raise NotFound(f"there is no group {group_id} of dead letters, or the topic has forgotten its letters")
    if query.csv:
        return csv_file(_letters(found, query), "dead-letters.csv")
    context = {
        **await _about_group(request, summary, trend),
        "choice": choice,
        "samples": samples_of(newest, (await desk.gates()).schemas),
        "table": _letters(found[:PAGE], query),
        "next": choice.url(before=str(found[PAGE - 1].cursor)) if len(found) > PAGE else None,
        "first": choice.url() if choice.before else None,
        **_filter_lists(state),
    }
    return render(request, "letters/group.html", context)


async def _about_group(request: web.Request, summary: GroupSummary, trend: Trend) -> dict[str, Any]:
    retention, now = await request.app[DESK].retention(), _now()
    row = group_row(summary, trend, source_topics(request), now, retention)
    return {
        "tab": "groups",
        "group": row,
        "summary": summary,
        "common": in_common(summary, row),
        "meaning": MEANINGS[ErrorClass(summary.group.error_class)],
        "chart": trend_chart(trend, now),
    }


def _letters(found: list[IndexedLetter], query: TableQuery) -> Table:
    return arrange([letter_row(letter) for letter in found], LETTER_COLUMNS, query, "Letters")


def _filter_lists(state: IndexState) -> dict[str, Any]:
    return {
        "index": state,
        "renews": True,
        "classes": list(ErrorClass),
        "sources": list(Source),
        "states": list(State),
    }


def _now() -> int:
    return time.time_ns() // 1_000_000
