"""The words between a batch processor and the compute API: chunks, questions, answers. Pure.

A chunk's request id is a hash of the data set, the chunk's number and its SKUs: another for every chunk of every data
set, and the same whenever a chunk is asked for again.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

PATH = "/api/v1/velocity/compute"
FAILED = "failed"

#: A result: `sku` as it was asked for, `status` (`ok`, `unknown`, `failed`), and the columns of what is known of it.
Row = dict[str, Any]


class WrongAnswer(ValueError):
    """An answer that is not one result for each SKU that was asked for, in their order; says where it goes wrong."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """SKUs that are asked for together; `number` counts from 0."""

    number: int
    skus: Sequence[str]
    request_id: str


@dataclass(frozen=True, slots=True)
class Pin:
    """The calculation that all chunks of a data set are answered from."""

    site_id: str
    as_of: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer to a chunk; `content` are its `rows` as they came."""

    pin: Pin
    rows: list[Row]
    content: bytes


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked about every chunk of a data set."""

    window: str
    site_id: str | None = None
    as_of: str | None = None

    def about(self, skus: Sequence[str]) -> bytes:
        """The body of a request."""
        return msgspec.json.encode({"skus": skus, **msgspec.to_builtins(self)})

    def at(self, pin: Pin) -> "Question":
        """The question about the same calculation."""
        return Question(window=self.window, site_id=pin.site_id, as_of=pin.as_of)


class _Answered(msgspec.Struct):
    site_id: str
    as_of: str
    run_id: str
    results: msgspec.Raw


_ANSWER = msgspec.json.Decoder(_Answered)
_ROWS = msgspec.json.Decoder(list[Row])


def split(skus: Iterable[str], size: int, data_set: str) -> Iterator[Chunk]:
    """Chunks of `size` SKUs, the last one maybe of fewer; no more are taken than have been asked for."""
    rest, number = iter(skus), 0
    while part := list(islice(rest, size)):
        yield Chunk(number, part, request_id(data_set, number, part))
        number += 1


def request_id(data_set: str, number: int, skus: Iterable[str]) -> str:
    """32 hexadecimal digits: the beginning of a SHA-256 over the data set's name, the chunk's number and its SKUs."""
    content = msgspec.json.encode([data_set, number, *skus])
    return hashlib.sha256(content).hexdigest()[:32]


def read_answer(content: bytes, skus: Sequence[str]) -> Answer:
    """
    Raises:
        WrongAnswer: the content is no answer to these SKUs.
    """
    try:
        found = _ANSWER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WrongAnswer(f"the answer cannot be read: {error}") from error
    results = bytes(found.results)
    return Answer(Pin(found.site_id, found.as_of, found.run_id), read_rows(results, skus), results)


def read_rows(content: bytes, skus: Sequence[str]) -> list[Row]:
    """
    Raises:
        WrongAnswer: the content is not a result for each of the SKUs.
    """
    try:
        rows = _ROWS.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WrongAnswer(f"the results cannot be read: {error}") from error
    if len(rows) != len(skus):
        raise WrongAnswer(f"{len(rows)} results for {len(skus)} SKUs")
    if [row.get("sku") for row in rows] != skus:
        place = next(number for number, row in enumerate(rows) if row.get("sku") != skus[number])
        raise WrongAnswer(f"result {place} is of {rows[place].get('sku')!r}, not of {skus[place]!r}")
    return rows


def failed_rows(skus: Sequence[str], error: str) -> list[Row]:
    """What SKUs are answered of which nothing is known because their chunk failed."""
    return [{"sku": sku, "status": FAILED, "error": error} for sku in skus]
