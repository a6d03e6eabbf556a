"""The audit log as a list of acts: what each command did, to how many letters, when, by whom and why."""

from dataclasses import dataclass

from console.desk.acts import LETTER, RECIPE, ROOT, RUN, ActBook
from console.topic_records import decoded
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.instants import rfc3339
from schemas.records import AuditEntry
from schemas.topics import TopicRole


@dataclass(slots=True)
class LoggedAct:
    """The entries of one command of one kind. Times are UTC milliseconds."""

    action: str
    who: str
    why: str
    recipe: str
    run: str
    began_at: int
    ended_at: int
    letters: int
    sample: str

    def as_json(self) -> dict[str, object]:
        """The stable shape of `dlq log --json`."""
        return {
            "at": rfc3339(self.began_at),
            "until": rfc3339(self.ended_at),
            "who": self.who,
            "action": self.action,
            "letters": self.letters,
            "why": self.why,
            "recipe": self.recipe,
            "run": self.run,
            "sample": self.sample,
        }


async def read_book(settings: Settings) -> ActBook:
    """What was done to letters up to now.

    Raises:
        RecordUnreadable: there is something else in the audit log, so what was done is not known.
    """
    book = ActBook()
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.AUDIT_LOG)):
        for record in records:
            book.take(decoded(record, AuditEntry))
    return book


async def read_acts(settings: Settings, letter_id: str | None = None) -> list[LoggedAct]:
    """What commands did, oldest first; those to one letter where one is given.

    Raises:
        RecordUnreadable: there is something else in the audit log.
    """
    found: dict[tuple[str, ...], LoggedAct] = {}
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.AUDIT_LOG)):
        for record in records:
            entry = decoded(record, AuditEntry)
            if letter_id is None or letter_id in (entry.what.get(LETTER), entry.what.get(ROOT)):
                _add(found, entry)
    return list(found.values())


def _add(found: dict[tuple[str, ...], LoggedAct], entry: AuditEntry) -> None:
    letter, run = entry.what.get(LETTER), entry.what.get(RUN) or entry.what.get("id", "")
    key = (entry.action, entry.who, entry.why, run) if run else (entry.action, entry.who, entry.why, str(entry.at))
    act = found.get(key)
    if act is None:
        recipe = entry.what.get(RECIPE, "")
        sample = letter or entry.what.get("outcome", "")
        act = LoggedAct(entry.action, entry.who, entry.why, recipe, run, entry.at, entry.at, 0, sample)
        found[key] = act
    act.ended_at = max(act.ended_at, entry.at)
    act.letters += letter is not None
