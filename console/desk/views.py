"""How dead letters are shown."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from console.desk.letters import LetterFilter, read_letters, replayed_ids
from console.screen import Cell
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter
from schemas.errors import MEANINGS
from schemas.instants import rfc3339

VALUE_SHOWN = 60
HEX_SHOWN = 1_024


@dataclass(frozen=True, slots=True)
class Listed:
    """A letter in a list."""

    letter: DeadLetter
    replayed: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The newest letters, and how many there are in all."""

    rows: list[Listed]
    total: int


async def newest(settings: Settings, wanted: LetterFilter, limit: int, *, waiting_only: bool) -> Listing:
    """The `limit` newest letters by the refused records' timestamps; memory holds no more than these."""
    done = await replayed_ids(settings)
    kept: list[tuple[int, str, Listed]] = []
    total = 0
    async for portion in read_letters(settings):
        for letter in (posted.letter for posted in portion if posted.letter is not None):
            replayed = letter.id in done
            if not wanted.matches(letter) or (waiting_only and replayed):
                continue
            total += 1
            entry = (letter.timestamp, letter.id, Listed(letter, replayed))
            heapq.heappush(kept, entry) if len(kept) < limit else heapq.heappushpop(kept, entry)
    return Listing([listed for _, _, listed in sorted(kept, reverse=True)], total)


def table_row(listed: Listed) -> tuple[Cell, ...]:
    """id, class, path, time, attempts, whether replayed, message, beginning of the value."""
    letter = listed.letter
    return (
        letter.id,
        letter.error_class.value,
        letter.path,
        rfc3339(letter.timestamp),
        letter.attempts,
        listed.replayed,
        letter.message,
        _excerpt(letter.value),
    )


def json_row(listed: Listed) -> dict[str, object]:
    """What `dlq list --json` says of a letter."""
    return {**json_details(listed.letter), "replayed": listed.replayed}


def json_details(letter: DeadLetter) -> dict[str, object]:
    """A letter as JSON; the value as text, bytes that are no UTF-8 replaced (`show --raw` gives them as they are)."""
    return {
        "id": letter.id,
        "error_class": letter.error_class.value,
        "stage": letter.stage,
        "path": letter.path,
        "message": letter.message,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": rfc3339(letter.timestamp),
        "key": None if letter.key is None else letter.key.decode("utf-8", "replace"),
        "attempts": letter.attempts,
        "root": letter.root,
        "first_failed_at": rfc3339(letter.first_failed_at),
        "pipeline_version": letter.pipeline_version,
        "headers": [[name, data.decode("utf-8", "replace")] for name, data in letter.headers],
        "value": None if letter.value is None else letter.value.decode("utf-8", "replace"),
    }


def details(letter: DeadLetter) -> Iterator[str]:
    """A letter for a person."""
    yield f"{letter.id}: {letter.error_class.value} at {letter.path}"
    yield f"  {letter.message}"
    yield f"  ({MEANINGS[letter.error_class]})"
    yield ""
    yield f"  arrived     {rfc3339(letter.timestamp)} (Kafka timestamp)"
    yield f"  key         {_excerpt(letter.key) if letter.key is not None else '(null)'}"
    yield f"  attempts    {letter.attempts}, first failed {rfc3339(letter.first_failed_at)}, root {letter.root}"
    yield f"  stage       {letter.stage}, pipeline {letter.pipeline_version}"
    for name, data in letter.headers:
        yield f"  header      {name}: {_excerpt(data)}"
    yield ""
    yield from _value_lines(letter.value)


def _value_lines(value: bytes | None) -> Iterator[str]:
    if value is None:
        yield "value: null (a tombstone)"
        return
    yield f"value, {len(value):,} bytes:"
    try:
        text = msgspec.json.format(value, indent=2).decode() if len(value) <= 1 << 16 else value.decode()
        yield from text.splitlines()
    except (msgspec.DecodeError, UnicodeError):
        yield from _hex_lines(value[:HEX_SHOWN])
        if len(value) > HEX_SHOWN:
            yield f"… {len(value) - HEX_SHOWN:,} more; --raw gives all of them"


def _hex_lines(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):47}  {text}"


def _excerpt(data: bytes | None) -> str:
    """The beginning of some bytes on one line, what cannot be printed as escapes."""
    if data is None:
        return "(null)"
    text = repr(data[:VALUE_SHOWN].decode("utf-8", "backslashreplace"))[1:-1]
    return text + ("…" if len(data) > VALUE_SHOWN else "")
