"""`/letters/one/{id}`: the whole story of one letter, its value in two views, and its bytes to keep."""

import re
from collections.abc import Sequence

from aiohttp import web

from console.client import NotFound
from console.desk.index import DeskIndex
from console.desk.indexed import IndexedAct, IndexedLetter
from console.web.letters.desk import DESK
from console.web.letters.story import told
from console.web.letters.value_view import show_value
from console.web.rendering import NO_STORE, render
from console.web.visible import clipped, one_line, visible
from schemas.dead_letters import DeadLetter
from schemas.errors import MEANINGS, ErrorClass

_NOT_OF_A_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


def add_letter_routes(app: web.Application) -> None:
    """Routes of this module. An id has slashes: `topic/partition/offset`."""
    app.router.add_get("/letters/one/{id:.+}", show_letter)
    app.router.add_get("/letters/raw/{id:.+}", download)


async def show_letter(request: web.Request) -> web.Response:
    """Everything that is known of a letter."""
    desk, letter_id = request.app[DESK], request.match_info["id"]

    def read(index: DeskIndex) -> tuple[IndexedLetter | None, Sequence[IndexedLetter], Sequence[IndexedAct]]:
        letter = index.letter(letter_id)
        if letter is None:
            return None, (), ()
        return letter, index.chain(letter.root), index.acts(root=letter.root)

    letter, chain, acts = await desk.ask(read)
    if letter is None:
        raise _not_found(letter_id)
    whole, schemas = await desk.whole(letter), (await desk.gates()).schemas
    context = {
        "tab": "groups",
        "index": desk.follower.state,
        "letter": letter,
        "meaning": MEANINGS[ErrorClass(letter.error_class)],
        "facts": _facts(letter, whole),
        "headers": [(clipped(visible(name)), one_line(data, 400)) for name, data in whole.headers] if whole else [],
        "shown": show_value(whole.value, schemas) if whole else show_value(letter.value, schemas, letter.size),
        "story": told(chain, acts),
        "gone": whole is None,
    }
    return render(request, "letters/letter.html", context)


def _facts(letter: IndexedLetter, whole: DeadLetter | None) -> list[tuple[str, str]]:
    """Names and values, all of them texts that may be shown."""
    facts = [
        ("Message", clipped(visible(letter.message), 2_000)),
        ("Field", visible(letter.path)),
        ("Stage", visible(letter.stage)),
        ("Producer", visible(letter.producer)),
        ("Site", visible(letter.site or "")),
        ("SKU", visible(letter.sku or "")),
        ("Attempts", str(letter.attempts)),
        ("Root of its chain", visible(letter.root)),
    ]
    if whole is not None:
        facts += [("Key", one_line(whole.key, 400)), ("Pipeline version", visible(whole.pipeline_version))]
    return [(name, text) for name, text in facts if text]


async def download(request: web.Request) -> web.Response:
    """The value byte for byte, as a file that no browser shows or runs."""
    letter = await request.app[DESK].ask(lambda index: index.letter(request.match_info["id"]))
    whole = await request.app[DESK].whole(letter) if letter else None
    if letter is None or whole is None:
        raise _not_found(request.match_info["id"])
    headers = {
        **NO_STORE,
        "Content-Disposition": f'attachment; filename="{file_name(letter.id)}"',
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=whole.value or b"", content_type="application/octet-stream", headers=headers)


def file_name(letter_id: str) -> str:
    """A name for a letter's file: letters, digits and `._-`, and no dot at its beginning."""
    return _NOT_OF_A_FILE_NAME.sub("_", letter_id).lstrip(".")[:150] + ".bin"


def _not_found(letter_id: str) -> NotFound:
    return NotFound(f"there is no dead letter {clipped(visible(letter_id))}, or the topic has forgotten it")
