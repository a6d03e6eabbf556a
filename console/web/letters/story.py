"""What happened to a record, step by step: its failures, and what people did about them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.desk.indexed import IndexedAct, IndexedLetter
from console.web.visible import clipped, visible

WORDS = {"replay": "Sent back", "discard": "Discarded", "park": "Parked"}


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened. `letter` is the dead letter that it is about; `tone` is that of a badge."""

    at: int
    what: str
    tone: str
    letter: str
    details: tuple[tuple[str, str], ...]


def told(chain: Sequence[IndexedLetter], acts: Sequence[IndexedAct]) -> list[Step]:
    """The steps of a chain in the order in which they happened."""
    steps = [*map(_failure, chain), *map(_act, acts)]
    return sorted(steps, key=lambda step: step.at)


def _failure(letter: IndexedLetter) -> Step:
    what = "Refused" if letter.attempts == 1 else f"Failed again, attempt {letter.attempts}"
    because = clipped(visible(letter.message), 400)
    details = (("as", f"{letter.error_class} at {visible(letter.path)}"), ("because", because))
    return Step(letter.posted_at, what, "warn" if letter.attempts == 1 else "bad", letter.id, details)


def _act(act: IndexedAct) -> Step:
    details = [("by", act.who), ("reason", act.why)]
    if act.recipe:
        details.append(("recipe", f"{act.recipe} (SHA-256 {(act.recipe_sha256 or '')[:12]}…)"))
    if act.sent_to:
        details.append(("sent to", act.sent_to))
    shown = tuple((name, clipped(visible(text), 400)) for name, text in details if text)
    return Step(act.at, WORDS.get(act.action, act.action), "plain", act.letter, shown)
