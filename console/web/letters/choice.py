"""Which letters an address asks for: the parameters of the filter, read and written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlencode

from console.desk.indexed import Cursor, State
from console.desk.letter_filter import LetterFilter
from console.errors import UsageError
from console.times import parse_instant
from runtime.settings import Settings
from schemas.errors import ErrorClass
from schemas.sources import Source

NAMES = ("class", "source", "site", "sku", "text", "since", "until", "state")
LONGEST = 200  # characters of a parameter
PAGE = 50  # letters of a page
MOST_OF_A_FILE = 10_000  # letters of a CSV file

Kind = TypeVar("Kind", Source, ErrorClass, State)


@dataclass(frozen=True, slots=True)
class Choice:
    """What an address asks for. `params` are the filter's parameters that say something."""

    wanted: LetterFilter
    states: tuple[State, ...] = ()
    before: Cursor | None = None
    params: Mapping[str, str] = field(default_factory=dict[str, str])

    def of_group(self, group_id: str) -> "Choice":
        """The same among the letters of a group."""
        return replace(self, wanted=replace(self.wanted, groups=frozenset({group_id})))

    def url(self, path: str = "", **changes: str | None) -> str:
        """An address with the same filter; parameters of `changes` replaced, or left out where they are None."""
        kept = {name: value for name, value in {**self.params, **changes}.items() if value}
        return f"{path}?{urlencode(kept)}"


def read_choice(params: Mapping[str, str], settings: Settings) -> Choice:
    """Read the parameters of an address.

    Raises:
        UsageError: one makes no sense; says which.
    """
    given = {name: params[name].strip()[:LONGEST] for name in NAMES if params.get(name, "").strip()}
    source = _one_of(Source, "source", given)
    error_class = _one_of(ErrorClass, "class", given)
    state = _one_of(State, "state", given)
    wanted = LetterFilter(
        classes=frozenset({error_class} if error_class else ()),
        topic=settings.topics.source_topic(source) if source else None,
        since=_instant("since", given),
        until=_instant("until", given),
        site=given.get("site"),
        sku=given.get("sku"),
        text=given.get("text"),
    )
    return Choice(wanted, (state,) if state else (), _cursor(params.get("before")), given)


def _one_of(kind: type[Kind], name: str, given: Mapping[str, str]) -> Kind | None:
    try:
        return kind(given[name]) if name in given else None
    except ValueError:
        raise UsageError(f"{name}: there is no {given[name]!r}; one of {', '.join(kind)}") from None


def _instant(name: str, given: Mapping[str, str]) -> int | None:
    """An instant in UTC milliseconds; what a browser's field for date and time gives is UTC."""
    text = given.get(name)
    if text is None:
        return None
    return parse_instant(name, f"{text}:00Z" if len(text) == len("2011-03-01T10:15") else text)


def _cursor(text: str | None) -> Cursor | None:
    try:
        return Cursor.parse(text) if text else None
    except ValueError as error:
        raise UsageError(f"before: {error}") from None
