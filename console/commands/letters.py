"""`velocity dlq list|show|stats|groups`: dead letters found and understood."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Json, settings_of
from console.commands.letter_options import LetterOptions, States, filtered, wanted_states
from console.errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from console.desk.expiry import Retention
    from console.desk.indexed import GroupSummary, IndexedLetter, LetterCounts, State, Trend
    from console.desk.letter_filter import LetterFilter
    from console.desk.views import Known
    from runtime.settings import Settings
    from schemas.dead_letters import DeadLetter

Waiting = Annotated[bool, typer.Option("--waiting", help="Only those that wait: short for --state waiting.")]


@filtered
def list_letters(
    ctx: typer.Context,
    letters: LetterOptions,
    states: States = None,
    waiting: Waiting = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: Json = False,
) -> None:
    """List dead letters with their reason, newest first.

    \b
    Examples:
      velocity dlq list --class bad_format --source orders
      velocity dlq list --sku POST --since 2011-03-01T00:00:00Z --limit 10
      velocity dlq list --group 6375430a6427 --state parked
    """
    from console.desk.views import COLUMNS, json_row, table_row

    settings = settings_of(ctx, with_topics=True)
    wanted, of_states = letters.filter(settings), wanted_states(states, waiting)
    rows, total, whole = asyncio.run(_list(settings, wanted, of_states, limit, whole=json))
    if json:
        screen.say_json([json_row(whole[row.id], row) for row in rows if row.id in whole])
        return
    screen.say_table(COLUMNS, [table_row(row) for row in rows])
    screen.remark(f"{len(rows)} of {total:,} dead letters; `velocity dlq show ID` shows one")


async def _list(
    settings: "Settings", wanted: "LetterFilter", states: "Collection[State]", limit: int, *, whole: bool
) -> "tuple[list[IndexedLetter], int, dict[str, DeadLetter]]":
    from console.desk.indexed import STATES
    from console.desk.looking import looking
    from console.desk.whole_letters import whole_letters

    async with looking(settings, wanted, states) as look:
        rows = look.index.letters(wanted, states=states, limit=limit, confirmed=look.confirmed)
        counts = look.index.stats(wanted, confirmed=look.confirmed).by_state
    read = whole_letters(settings, [row.place for row in rows if whole])
    by_id = {letter.id: letter async for _, letter in read}
    return rows, sum(counts[state] for state in states or STATES), by_id


def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="topic/partition/offset of the refused record.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the value, byte for byte.")] = False,
    json: Json = False,
) -> None:
    """Show one dead letter: what is wrong, where it came from, its value decoded and as bytes, and its story: every
    failure, every act, and in which batch and run it counts in the end.

    \b
    Examples:
      velocity dlq show wms.orders.v1/3/1207
      velocity dlq show wms.orders.v1/3/1207 --raw > letter.bin
    """
    from console.desk.decoded import decode_value
    from console.desk.story import story_lines, tell
    from console.desk.views import details, json_known
    from streams.intake_rules import load_schema_dir

    settings = settings_of(ctx, with_topics=True)
    letter, known = asyncio.run(_show(settings, letter_id))
    schemas = load_schema_dir(settings.intake.schema_dir) if settings.intake.schema_dir else {}
    if raw:
        screen.say_bytes(letter.value or b"")
        return
    story = asyncio.run(tell(settings, known.chain, known.acts))
    if json:
        told = json_known(letter, known, decode_value(letter.value, schemas))
        screen.say_json({**told, "story": story.as_json()})
        return
    for line in (*details(letter, schemas, known), "", *story_lines(story)):
        screen.say(line)


async def _show(settings: "Settings", letter_id: str) -> "tuple[DeadLetter, Known]":
    from console.desk.expiry import read_retention
    from console.desk.letter_filter import LetterFilter
    from console.desk.looking import looking
    from console.desk.views import Known, history
    from console.desk.whole_letters import whole_letters

    retention = await asyncio.to_thread(read_retention, settings)
    async with looking(settings, LetterFilter()) as look:
        indexed = look.index.letter(letter_id)
        root = letter_id if indexed is None else indexed.root
        chain, acts = look.index.chain(root), look.index.acts(root=root)
    found = [one async for _, one in whole_letters(settings, [] if indexed is None else [indexed.place])]
    if indexed is not None and found:
        return found[0], Known(indexed, chain, acts, retention, _now())
    if acts:
        lines = "".join(f"\n{line}" for line in history(acts))
        raise CommandFailed(f"dead letter {letter_id} is no longer in the topic; what was done about it:{lines}")
    raise CommandFailed(f"there is no dead letter {letter_id}; `velocity dlq list` shows which there are")


@filtered
def stats(ctx: typer.Context, letters: LetterOptions, json: Json = False) -> None:
    """Count dead letters by class and by what was done about them. `waiting` is what nobody has acted on.

    \b
    Example:
      velocity dlq stats --json | jq .by_class
    """
    from console.desk.counts_view import class_rows, expiry_warning, json_counts
    from console.desk.indexed import State
    from schemas.errors import MEANINGS

    settings = settings_of(ctx, with_topics=True)
    counts, retention, expiring = asyncio.run(_stats(settings, letters.filter(settings)))
    warning = expiry_warning(expiring, counts.oldest_waiting, retention, _now())
    if json:
        screen.say_json(json_counts(settings, counts, retention, expiring))
    else:
        meanings = {error_class.value: meaning for error_class, meaning in MEANINGS.items()}
        screen.say_table(("class", "letters", "waiting", "meaning"), class_rows(counts, meanings))
        screen.say(f"{counts.total:,} dead letters in {counts.chains:,} chains")
        done = ", ".join(
            f"{counts.by_state[state]:,} were {state.value}" for state in State if state is not State.WAITING
        )
        screen.say(f"{counts.by_state[State.WAITING]:,} wait, {done}")
    if warning:
        screen.remark(warning, style="yellow")


async def _stats(settings: "Settings", wanted: "LetterFilter") -> "tuple[LetterCounts, Retention, int]":
    from console.desk.expiry import read_retention
    from console.desk.looking import looking

    retention = await asyncio.to_thread(read_retention, settings)
    before = retention.warn_before(_now())
    async with looking(settings, wanted) as look:
        counts = look.index.stats(wanted, confirmed=look.confirmed)
        expiring = 0 if before is None else look.index.waiting_before(wanted, before, confirmed=look.confirmed)
    return counts, retention, expiring


@filtered
def groups(
    ctx: typer.Context, letters: LetterOptions, states: States = None, waiting: Waiting = False, json: Json = False
) -> None:
    """Show dead letters by what is wrong in the same way: one group, one cause, one repair.

    A group is the letters of one class at one path of one source, from one producer, whose values have the same fields
    and the same pattern at that path: 9 stands for digits, a and A for letters. Groups with most waiting letters first.

    \b
    Examples:
      velocity dlq groups --waiting
      velocity dlq groups --source orders --json
      velocity dlq list --group 6375430a6427
    """
    from console.desk.counts_view import GROUP_COLUMNS, expiry_warning, group_row, json_group

    settings = settings_of(ctx, with_topics=True)
    wanted, now = letters.filter(settings), _now()
    found, trends, retention = asyncio.run(_groups(settings, wanted, wanted_states(states, waiting)))
    if json:
        screen.say_json([json_group(settings, one, trends[one.id], retention, now) for one in found])
    else:
        screen.say_table(GROUP_COLUMNS, [group_row(settings, one, trends[one.id], retention, now) for one in found])
        screen.remark(f"{len(found):,} groups; `velocity dlq list --group GROUP` shows the letters of one")
    near = [one for one in found if retention.is_near(one.oldest_waiting, now)]
    oldest = min((one.oldest_waiting for one in near if one.oldest_waiting is not None), default=None)
    warning = expiry_warning(sum(one.waiting for one in near), oldest, retention, now)
    if warning:
        screen.remark(warning, style="yellow")


async def _groups(
    settings: "Settings", wanted: "LetterFilter", states: "Collection[State]"
) -> "tuple[list[GroupSummary], Mapping[str, Trend], Retention]":
    from console.desk.counts_view import TREND_HOURS
    from console.desk.expiry import read_retention
    from console.desk.indexed import HOUR_MS
    from console.desk.looking import looking

    retention = await asyncio.to_thread(read_retention, settings)
    async with looking(settings, wanted, states) as look:
        found = look.index.groups(wanted, states=states, confirmed=look.confirmed)
        return found, look.index.trends(_now() - TREND_HOURS * HOUR_MS), retention


def _now() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000
