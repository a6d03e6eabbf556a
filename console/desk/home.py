"""The way of a dead letter home: whether it counts in the end, and where it is until then."""

from dataclasses import dataclass

from console.client import BatchApi
from console.desk.counting import Counted, ask_batch_stage
from console.desk.indexed import IndexedAct, IndexedLetter
from console.desk.whereabouts import InBatch, InOpenWindow, NotTaken, Whereabouts, locate, window_text
from runtime.settings import Settings
from schemas.records import BatchKind

PAST = {"replay": "replayed", "discard": "discarded", "park": "parked"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the chain stands. `state` is one word for machines, `text` says it to people, the rest is known or None."""

    state: str
    text: str
    place: str | None = None
    batch_id: str | None = None
    window: str | None = None
    run_id: str | None = None


async def outcome_of(settings: Settings, last: IndexedLetter, act: IndexedAct | None) -> Outcome:
    """Where a chain stands whose last letter this is, `act` being the last thing that was done to it.

    Raises:
        RecordUnreadable: there is something else among the records of one of our topics.
        KafkaError: the brokers do not answer.
    """
    if act is None:
        waits = "it waits for somebody to act"
        if last.attempts > 1:
            return Outcome("failed_again", f"failed again as {last.id} ({last.error_class}); {waits}")
        return Outcome("waiting", waits)
    if act.action != "replay":
        return Outcome(PAST.get(act.action, act.action), f"{PAST.get(act.action, act.action)}: {act.why}")
    if not act.sent_to:  # of a version that did not note it
        return Outcome("replayed", "replayed; where to was not noted then")
    found = await locate(settings, act.sent_to)
    if isinstance(found, InBatch):
        async with BatchApi(settings) as api:
            return _counted(act.sent_to, found, await ask_batch_stage(api, found))
    return _on_its_way(act.sent_to, found)


def _on_its_way(place: str, found: Whereabouts) -> Outcome:
    match found:
        case NotTaken(behind):
            return Outcome("not_taken", f"not taken yet: the stream worker is {behind:,} offsets short of it", place)
        case InOpenWindow(site, window) if window is not None:
            text = window_text(window)
            return Outcome("open_window", f"accepted, in the open window {text} of site {site}", place, window=text)
        case InOpenWindow():
            return Outcome("open_window", "accepted, in an open window", place)
        case _:
            return Outcome("unknown", getattr(found, "why", "it is not known where it is"), place)


def _counted(place: str, found: InBatch, said: Counted) -> Outcome:
    kind = "correction" if found.kind is BatchKind.CORRECTION else "batch"
    where = f"in {kind} {found.batch_id}, window {window_text(found.window)} of site {found.site_id}"
    common = {"place": place, "batch_id": found.batch_id, "window": window_text(found.window)}
    if said.held is not None:
        return Outcome("held", f"{where}; held, it does not count yet: {said.held}", **common)
    if said.conflict is not None:
        return Outcome("conflict", f"{where}; another body under its id counts, of batch {said.conflict}", **common)
    if said.run_id is None:
        return Outcome("in_batch", f"counted {where}; {said.note}", **common)
    made = "corrected" if found.kind is BatchKind.CORRECTION else "entered"
    text = f"counted {where}; it {made} run {said.run_id} as of {said.as_of}"
    return Outcome("counted", text, run_id=said.run_id, **common)
