"""`/letters/home/{id}`: whether a letter counts by now, as a part of its page that is asked for on its own.

To be sure of it takes the frontiers, a batch file and the batch workers: the page does not wait for that.
"""

from aiohttp import web

from console.client import NotFound
from console.desk.home import outcome_of
from console.desk.index import DeskIndex
from console.desk.indexed import IndexedAct, IndexedLetter
from console.web.keys import SETTINGS
from console.web.letters.desk import DESK
from console.web.rendering import PLACES, render
from console.web.visible import clipped, visible

TONES = {"counted": "good", "in_batch": "good", "failed_again": "bad", "unknown": "bad", "waiting": "warn"}
ON_THE_WAY = frozenset({"not_taken", "open_window", "in_batch"})  # asked again while somebody looks


def add_home_of_letter_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/letters/home/{id:.+}", show_outcome)


async def show_outcome(request: web.Request) -> web.Response:
    """What has become of the chain that a letter belongs to."""
    desk, letter_id = request.app[DESK], request.match_info["id"]

    def read(index: DeskIndex) -> tuple[IndexedLetter | None, list[IndexedAct]]:
        letter = index.letter(letter_id)
        last = index.chain(letter.root)[-1] if letter else None
        return last, index.acts([last.id]) if last else []

    last, done = await desk.ask(read)
    if last is None:
        raise NotFound("the topic has forgotten this letter")
    outcome = await outcome_of(request.app[SETTINGS], last, done[-1] if done else None)
    context = {
        "letter_id": letter_id,
        "outcome": outcome,
        "text": clipped(visible(outcome.text), 1_000),
        "tone": TONES.get(outcome.state, "plain"),
        "word": outcome.state.replace("_", " "),
        "again": outcome.state in ON_THE_WAY,
        "has_batches": any(place.path == "/batches" for place in request.app[PLACES]),
    }
    return render(request, "letters/home.html", context)
