"""The options that say which dead letters are meant, the same for every command that takes them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.option_groups import taking
from console.errors import UsageError
from schemas.errors import ErrorClass
from schemas.sources import Source

if TYPE_CHECKING:
    from console.desk.indexed import State
    from console.desk.letter_filter import LetterFilter
    from runtime.settings import Settings

Classes = Annotated[list[ErrorClass] | None, typer.Option("--class", help="Only of this error class; may be repeated.")]
Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only this one: topic/partition/offset; repeatable.")
]
OfSource = Annotated[Source | None, typer.Option("--source", help="Only of this source.")]
Site = Annotated[str | None, typer.Option("--site", help="Only of this site, where the value can be read.")]
Sku = Annotated[str | None, typer.Option("--sku", help="Only of this SKU, as it was sent.")]
Text = Annotated[str | None, typer.Option("--text", help="Only with this text in the value or the message.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only of records from this instant on (RFC 3339).")]
Groups = Annotated[
    list[str] | None, typer.Option("--group", metavar="GROUP", help="Only of this group of `dlq groups`; repeatable.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only of records before this instant.")]

States = Annotated[
    list[str] | None,
    typer.Option("--state", help="Only in this state: waiting, replayed, discarded or parked; may be repeated."),
]


def wanted_states(names: list[str] | None, waiting: bool) -> "frozenset[State]":
    """What `--state` and `--waiting` say; none are all.

    Raises:
        UsageError: there is no such state.
    """
    from console.desk.indexed import State

    known = {state.value: state for state in State}
    if unknown := [name for name in names or () if name not in known]:
        raise UsageError(f"--state {unknown[0]!r}: one of {', '.join(known)}")
    return frozenset({known[name] for name in names or ()} | ({State.WAITING} if waiting else set()))


@dataclass(frozen=True, slots=True)
class LetterOptions:
    """Each field is an option of every command that is `filtered`."""

    classes: Classes = None
    ids: Ids = None
    source: OfSource = None
    site: Site = None
    sku: Sku = None
    text: Text = None
    since: Since = None
    until: Until = None
    groups: Groups = None

    def filter(self, settings: "Settings") -> "LetterFilter":
        """What they mean where the topics are called so.

        Raises:
            UsageError: a time is none.
        """
        from console.desk.letter_filter import LetterFilter
        from console.times import parse_instant

        return LetterFilter(
            ids=frozenset(self.ids or ()),
            classes=frozenset(self.classes or ()),
            topic=settings.topics.source_topic(self.source) if self.source else None,
            since=parse_instant("--since", self.since) if self.since else None,
            until=parse_instant("--until", self.until) if self.until else None,
            site=self.site,
            sku=self.sku,
            text=self.text,
            groups=frozenset(self.groups or ()),
        )


#: A command whose parameter `letters` is made of the options.
filtered = taking("letters", LetterOptions)
