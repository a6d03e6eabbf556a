"""The story of a dead letter: every failure of its chain, every act, and where it stands now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from console.desk.home import PAST, Outcome, outcome_of
from console.desk.indexed import IndexedAct, IndexedLetter
from runtime.settings import Settings
from schemas.instants import rfc3339


@dataclass(frozen=True, slots=True)
class Story:
    """The letters of a chain in the order of their attempts, the acts on them, and the outcome."""

    letters: Sequence[IndexedLetter]
    acts: Sequence[IndexedAct]
    outcome: Outcome

    def acts_on(self, letter: IndexedLetter) -> list[IndexedAct]:
        """What was done to one of the letters, the oldest first."""
        return [act for act in self.acts if act.letter == letter.id]

    def as_json(self) -> dict[str, Any]:
        """The stable shape of `story` in `dlq show --json`."""
        return {
            "letters": [_letter_json(letter, self.acts_on(letter)) for letter in self.letters],
            "outcome": {name: getattr(self.outcome, name) for name in Outcome.__slots__},
        }


def _letter_json(letter: IndexedLetter, acts: Sequence[IndexedAct]) -> dict[str, Any]:
    return {
        "id": letter.id,
        "attempts": letter.attempts,
        "at": rfc3339(letter.timestamp),
        "error_class": letter.error_class,
        "path": letter.path,
        "message": letter.message,
        "acts": [
            {
                "action": act.action,
                "at": rfc3339(act.at),
                "who": act.who,
                "why": act.why,
                "recipe": act.recipe or "",
                "recipe_sha256": act.recipe_sha256 or "",
                "sent_to": act.sent_to or "",
            }
            for act in acts
        ],
    }


async def tell(settings: Settings, chain: Sequence[IndexedLetter], acts: Sequence[IndexedAct]) -> Story:
    """The story of a chain, which has one letter at least; its acts are in the order of the audit log.

    Raises:
        RecordUnreadable: there is something else among the records of one of our topics.
        KafkaError: the brokers do not answer.
    """
    letters = sorted(chain, key=lambda one: one.attempts)
    last = letters[-1]
    done = [act for act in acts if act.letter == last.id]
    return Story(letters, acts, await outcome_of(settings, last, done[-1] if done else None))


def story_lines(told: Story) -> Iterator[str]:
    """The story for a person, from the first failure on."""
    for letter in told.letters:
        yield f"{rfc3339(letter.timestamp)}  attempt {letter.attempts} failed as {letter.id}"
        yield f"{'':22}{letter.error_class} at {letter.path}: {letter.message}"
        for act in told.acts_on(letter):
            recipe = f" with recipe {act.recipe} ({(act.recipe_sha256 or '')[:12]})" if act.recipe else ""
            to = f", sent to {act.sent_to}" if act.sent_to else ""
            why = f": {act.why}" if act.why else ""
            yield f"{rfc3339(act.at)}  {PAST.get(act.action, act.action)} by {act.who}{recipe}{to}{why}"
    yield f"{'now':20}  {told.outcome.text}"
