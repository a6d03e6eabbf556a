"""What a recipe makes of some letters, and what the gate says of each: field, before, after, verdict. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.desk.differences import Change, changes
from console.desk.recipes import Recipe
from console.desk.repair import Schemas, Unrepairable, repair
from console.web.visible import clipped, visible
from schemas.dead_letters import DeadLetter
from schemas.sources import Source
from streams.intake import Fault, Intake

SHOWN = 160  # characters of a value
REASON_SHOWN = 300
MOST_CHANGES = 40
WHOLE = "(the whole value)"


@dataclass(frozen=True, slots=True)
class Previewed:
    """One letter; texts such as may be shown. `tone` is that of the verdict: good where the gate would take it."""

    id: str
    verdict: str
    tone: str
    changes: Sequence[Change] = ()
    more: int = 0  # changes beyond those


def preview(
    recipe: Recipe,
    letters: Sequence[DeadLetter],
    gates: Mapping[Source, Intake],
    topics: Mapping[str, Source],
    schemas: Schemas,
    now: int,
) -> list[Previewed]:
    """Each letter as the recipe makes it; `now` is the Kafka timestamp that it would be sent back with."""

    def one(letter: DeadLetter) -> Previewed:
        source = topics.get(letter.topic)
        if source is None:
            return Previewed(letter.id, "left alone: it came from a topic that is no source here", "warn")
        repaired = repair(recipe, letter.value, schemas)
        if isinstance(repaired, Unrepairable):
            return Previewed(letter.id, f"cannot be repaired: {_reason(str(repaired))}", "bad")
        return _judged(letter, repaired, gates[source].judge(repaired, now))

    return [one(letter) for letter in letters]


def _judged(letter: DeadLetter, repaired: bytes, verdict: object) -> Previewed:
    found = changes(letter.value, repaired)
    shown, more = [_shown(change) for change in found[:MOST_CHANGES]], max(0, len(found) - MOST_CHANGES)
    if not isinstance(verdict, Fault):
        return Previewed(letter.id, "the gate would take it", "good", shown, more)
    text = _reason(f"{verdict.error_class.value} at {verdict.path}: {verdict.message}")
    return Previewed(letter.id, f"would fail again: {text}", "bad", shown, more)


def _shown(change: Change) -> Change:
    field = clipped(visible(change.field)) or WHOLE
    return Change(field, clipped(visible(change.before), SHOWN), clipped(visible(change.after), SHOWN))


def _reason(text: str) -> str:
    return clipped(visible(text), REASON_SHOWN)
