"""A feed of orders as careless producers send it: twelve ways to be wrong, three of which can be repaired.

Lines of a repairable kind stand in place of the right ones, so that the feed is whole again once they are repaired. All
other kinds are copies of lines that are there as well: nothing is missing when they are discarded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from schemas.errors import ErrorClass

Event = dict[str, Any]


class SentLine(NamedTuple):
    """A line of a feed and the producer that sends it, whom a header names; None for those that send no header."""

    value: bytes
    producer: str | None = None


@dataclass(frozen=True, slots=True)
class SpoiltKind:
    """One way to be wrong: who does it, what is made of a right event, and which error class that has."""

    name: str
    producer: str
    error_class: ErrorClass
    spoil: Callable[[Event], bytes]
    repairable: bool = False


def _changed(**values: Any) -> Callable[[Event], bytes]:
    return lambda event: msgspec.json.encode(event | values)


def _local_time(event: Event) -> bytes:
    wall = datetime.fromisoformat(event["event_time"]).strftime("%d/%m/%Y %H:%M")
    return msgspec.json.encode(event | {"event_time": wall})


def _text_quantity(event: Event) -> bytes:
    return msgspec.json.encode(event | {"quantity": str(event["quantity"])})


def _without_site(event: Event) -> bytes:
    return msgspec.json.encode({name: value for name, value in event.items() if name != "site_id"})


def _cut_off(event: Event) -> bytes:
    line = msgspec.json.encode(event)
    return line[: len(line) * 3 // 5]


def _latin(event: Event) -> bytes:
    return msgspec.json.encode(event | {"channel": "caf#"}).replace(b"#", "é".encode("latin-1"))


def _not_a_number(event: Event) -> bytes:
    return msgspec.json.encode(event | {"quantity": "#"}).replace(b'"#"', b"NaN")


SPOILT_KINDS = (
    SpoiltKind("local time", "scanner-7", ErrorClass.BAD_FORMAT, _local_time, repairable=True),
    SpoiltKind("quantity as text", "erp-export", ErrorClass.WRONG_TYPE, _text_quantity, repairable=True),
    SpoiltKind("unit in words", "handheld-2", ErrorClass.UNKNOWN_UNIT, _changed(uom="each"), repairable=True),
    SpoiltKind("cut off", "gateway-1", ErrorClass.NOT_JSON, _cut_off),
    SpoiltKind("Latin-1", "gateway-1", ErrorClass.ENCODING, _latin),
    SpoiltKind("a list", "script", ErrorClass.NOT_OBJECT, lambda event: msgspec.json.encode(list(event.values()))),
    SpoiltKind("no site", "script", ErrorClass.MISSING_FIELD, _without_site),
    SpoiltKind("no SKU", "erp-export", ErrorClass.NULL_FIELD, _changed(sku=None)),
    SpoiltKind("negative quantity", "erp-export", ErrorClass.OUT_OF_RANGE, _changed(quantity=-1)),
    SpoiltKind("a test item", "handheld-9", ErrorClass.BAD_FORMAT, _changed(sku="!! TEST !!")),
    SpoiltKind(
        "a clock of 2100", "scanner-9", ErrorClass.FUTURE_EVENT_TIME, _changed(event_time="2100-01-01T00:00:00Z")
    ),
    SpoiltKind("not a number", "gateway-2", ErrorClass.NOT_JSON, _not_a_number),
)


def spoilt(lines: Sequence[bytes], of_each: int) -> Iterator[SentLine]:
    """The lines in their order with `of_each` of every kind, spread over the feed.

    Raises:
        ValueError: there are too few lines.
    """
    wanted = of_each * len(SPOILT_KINDS)
    step = len(lines) // wanted
    if not step:
        raise ValueError(f"{len(lines)} lines are too few to spoil {wanted}")
    for number, line in enumerate(lines):
        at, rest = divmod(number, step)
        kind = SPOILT_KINDS[at % len(SPOILT_KINDS)] if not rest and at < wanted else None
        if kind is None or not kind.repairable:
            yield SentLine(line)
        if kind is not None:
            yield SentLine(kind.spoil(msgspec.json.decode(line)), kind.producer)
