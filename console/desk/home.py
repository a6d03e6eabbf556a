"""The way of a dead letter home: its failures, what was done about them, and whether it counts in the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from console.client import BatchApi
from console.desk.acts import LETTER, Act
from console.desk.counting import Counted, ask_batch_stage
from console.desk.letters import read_letters
from console.desk.whereabouts import InBatch, InOpenWindow, NotTaken, Whereabouts, locate, window_text
from console.topic_records import decoded
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.dead_letters import DeadLetter
from schemas.instants import rfc3339
from schemas.records import AuditEntry, BatchKind
from schemas.topics import TopicRole

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


@dataclass(frozen=True, slots=True)
class Story:
    """All letters of a chain in the order of their attempts, the acts on each by its id, and the outcome."""

    letters: tuple[DeadLetter, ...]
    acts: dict[str, tuple[Act, ...]]
    outcome: Outcome

    def as_json(self) -> dict[str, Any]:
        """The stable shape of `story` in `dlq show --json`."""
        return {
            "letters": [
                {
                    "id": letter.id,
                    "attempts": letter.attempts,
                    "at": rfc3339(letter.timestamp),
                    "error_class": letter.error_class.value,
                    "path": letter.path,
                    "message": letter.message,
                    "acts": [{**act._asdict(), "at": rfc3339(act.at)} for act in self.acts.get(letter.id, ())],
                }
                for letter in self.letters
            ],
            "outcome": {name: getattr(self.outcome, name) for name in Outcome.__slots__},
        }


async def story(settings: Settings, letter: DeadLetter, chain: Sequence[DeadLetter] | None = None) -> Story:
    """The whole story of the chain that a letter belongs to; `chain` are its letters, where somebody knows them.

    Raises:
        RecordUnreadable: there is something else among the records of one of our topics.
        KafkaError: the brokers do not answer.
    """
    letters = sorted(chain if chain is not None else await _chain(settings, letter.root), key=lambda one: one.attempts)
    acts = await _acts(settings, {one.id for one in letters})
    last = letters[-1] if letters else letter
    done = acts.get(last.id, ())
    outcome = await outcome_of(settings, last.id, last.attempts, last.error_class.value, done[-1] if done else None)
    return Story(tuple(letters), acts, outcome)


async def _chain(settings: Settings, root: str) -> list[DeadLetter]:
    found: dict[str, DeadLetter] = {}
    async for portion in read_letters(settings):
        for posted in portion:
            if posted.letter is not None and posted.letter.root == root:
                found[posted.letter.id] = posted.letter
    return list(found.values())


async def _acts(settings: Settings, ids: set[str]) -> dict[str, tuple[Act, ...]]:
    acts: dict[str, tuple[Act, ...]] = {}
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.AUDIT_LOG)):
        for entry in (decoded(record, AuditEntry) for record in records):
            letter_id = entry.what.get(LETTER)
            if letter_id in ids:
                acts[letter_id] = (*acts.get(letter_id, ()), Act.of(entry))
    return acts


async def outcome_of(settings: Settings, letter_id: str, attempts: int, error_class: str, act: Act | None) -> Outcome:
    """Where a chain stands whose last letter this is, `act` being the last thing that was done to it.

    Raises:
        RecordUnreadable: there is something else among the records of one of our topics.
        KafkaError: the brokers do not answer.
    """
    if act is None:
        waits = "it waits for somebody to act"
        if attempts > 1:
            return Outcome("failed_again", f"failed again as {letter_id} ({error_class}); {waits}")
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


def story_lines(told: Story) -> list[str]:
    """The story for a person, from the first failure on."""
    lines = [""]
    for letter in told.letters:
        what = f"{letter.error_class.value} at {letter.path}: {letter.message}"
        lines.append(f"{rfc3339(letter.timestamp)}  attempt {letter.attempts} failed as {letter.id}")
        lines.append(f"{'':22}{what}")
        for act in told.acts.get(letter.id, ()):
            recipe = f" with recipe {act.recipe} ({act.recipe_sha256[:12]})" if act.recipe else ""
            why = f": {act.why}" if act.why else ""
            to = f", sent to {act.sent_to}" if act.sent_to else ""
            lines.append(f"{rfc3339(act.at)}  {PAST.get(act.action, act.action)} by {act.who}{recipe}{to}{why}")
    return [*lines, f"{'now':20}  {told.outcome.text}"]
