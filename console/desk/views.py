"""How dead letters are shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from console.desk.decoded import Decoded, decode_value
from console.desk.expiry import UNLIMITED, Retention, time_left
from console.desk.indexed import IndexedAct, IndexedLetter
from console.screen import Cell
from schemas.dead_letters import DeadLetter
from schemas.errors import MEANINGS
from schemas.instants import rfc3339
from streams.avro_input import WriterSchema

VALUE_SHOWN = 60
HEX_SHOWN = 1_024
COLUMNS = ("id", "class", "path", "at", "attempts", "state", "message", "value")


@dataclass(frozen=True, slots=True)
class Known:
    """A letter with what is known of it: its chain, what was done about it, and when it is removed."""

    indexed: IndexedLetter
    chain: Sequence[IndexedLetter] = ()
    acts: Sequence[IndexedAct] = ()
    retention: Retention = UNLIMITED
    now: int = 0


def table_row(letter: IndexedLetter) -> tuple[Cell, ...]:
    """The cells of `COLUMNS`."""
    return (
        letter.id,
        letter.error_class,
        letter.path,
        rfc3339(letter.timestamp),
        letter.attempts,
        letter.state.value,
        letter.message,
        _excerpt(letter.value, letter.size),
    )


def json_row(letter: DeadLetter, indexed: IndexedLetter) -> dict[str, object]:
    """What `dlq list --json` says of a letter."""
    replayed = indexed.state.value == "replayed"
    return {**json_details(letter), "replayed": replayed, "state": indexed.state, "group": indexed.group}


def json_known(letter: DeadLetter, known: Known, decoded: Decoded) -> dict[str, object]:
    """What `dlq show --json` says."""
    expires_at = known.retention.expires_at(known.indexed.posted_at)
    return {
        **json_row(letter, known.indexed),
        "producer": known.indexed.producer,
        "form": decoded.form,
        "decoded": decoded.text,
        "value_hex": None if letter.value is None else letter.value.hex(),
        "expires_at": None if expires_at is None else rfc3339(expires_at),
        "chain": [
            {
                "id": one.id,
                "error_class": one.error_class,
                "path": one.path,
                "attempts": one.attempts,
                "state": one.state,
            }
            for one in known.chain
        ],
        "acts": json_acts(known.acts),
    }


def json_acts(acts: Sequence[IndexedAct]) -> list[dict[str, Any]]:
    """What was done, as JSON."""
    return [{**asdict(act), "at": rfc3339(act.at)} for act in acts]


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


def details(letter: DeadLetter, schemas: Mapping[int, WriterSchema], known: Known | None = None) -> Iterator[str]:
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
    if known is not None:
        yield from _known_lines(known)
    yield ""
    yield from _value_lines(letter.value, decode_value(letter.value, schemas))


def _known_lines(known: Known) -> Iterator[str]:
    indexed = known.indexed
    yield f"  group       {indexed.group}, producer {indexed.producer}"
    expires_at = known.retention.expires_at(indexed.posted_at)
    if expires_at is not None:
        yield f"  expires     {rfc3339(expires_at)} (in {time_left(expires_at, known.now)})"
    yield f"  state       {indexed.state.value}"


def history(acts: Sequence[IndexedAct]) -> Iterator[str]:
    """What was done about a chain, an act a line."""
    for act in acts:
        yield f"  {act.action:11} {rfc3339(act.at)} by {act.who}{f': {act.why}' if act.why else ''}"
        yield f"              letter {act.letter}{f', recipe {act.recipe}' if act.recipe else ''}"
        if act.sent_to:
            outcome = ", which failed again" if act.failed_again_as else ""
            yield f"              sent to {act.sent_to}{outcome}"


def _value_lines(value: bytes | None, decoded: Decoded) -> Iterator[str]:
    yield f"value, {0 if value is None else len(value):,} bytes, {decoded.form}:"
    if decoded.text is not None:
        yield from (_printable(line) for line in decoded.text.splitlines())
    if value:
        yield ""
        yield f"bytes{'' if len(value) <= HEX_SHOWN else f', the first {HEX_SHOWN:,}'}:"
        yield from _hex_lines(value[:HEX_SHOWN])
        if len(value) > HEX_SHOWN:
            yield f"… {len(value) - HEX_SHOWN:,} more; --raw gives all of them"


def _printable(line: str) -> str:
    """A line without anything that a terminal would obey."""
    return line if line.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def _hex_lines(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):47}  {text}"


def _excerpt(data: bytes | None, size: int | None = None) -> str:
    """The beginning of some bytes on one line, what cannot be printed as escapes; there may be more than is here."""
    if data is None:
        return "(null)"
    text = repr(data[:VALUE_SHOWN].decode("utf-8", "backslashreplace"))[1:-1]
    return text + ("…" if (len(data) if size is None else size) > VALUE_SHOWN else "")
