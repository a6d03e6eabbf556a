"""What a WMS answered, and whether it is what was agreed upon. Pure.

An answer that is not JSON is an accident of some gateway, and the chunk is tried again. One that is JSON and no
receipt, or that of something else, is another version of the agreement: no retry heals it, and going on might do harm.
"""

from typing import Any, cast

import msgspec

from batcher.delivery.retries import Failure, FailureKind
from schemas.delivery import SCHEMA_VERSION, Receipt

SHOWN = 200  # characters of an answer that is shown to people


class AttemptFailed(Exception):
    """An attempt came to nothing; `failure` says what that means for the next one."""

    def __init__(self, failure: Failure, body: str | None = None) -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.body = body


class Drift(Exception):
    """The other side speaks another version of the agreement; the message says what was expected and what was found."""


def read_receipt(body: bytes, key: str, rows: int, removed: int) -> Receipt:
    """The receipt of a chunk with that key and so many SKUs.

    Raises:
        AttemptFailed: the answer is not JSON.
        Drift: it is, and is not the receipt of this chunk.
    """
    try:
        content: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = body[:SHOWN].decode("utf-8", "replace")
        raise AttemptFailed(Failure(FailureKind.TRANSIENT, "the answer is not JSON", 200), shown) from error
    if not isinstance(content, dict):
        raise Drift(f"expected a receipt, an object; found {_shown(content)}")
    _expect("schema_version", SCHEMA_VERSION, cast(dict[str, Any], content).get("schema_version"))
    try:
        receipt = msgspec.convert(content, Receipt)
    except msgspec.ValidationError as error:
        raise Drift(f"expected a receipt with {', '.join(Receipt.__struct_fields__)}; found: {error}") from error
    for name, expected in (("idempotency_key", key), ("rows", rows), ("removed", removed)):
        _expect(name, expected, getattr(receipt, name))
    return receipt


def _expect(name: str, expected: Any, found: Any) -> None:
    if type(found) is not type(expected) or found != expected:
        raise Drift(f"expected {name} {_shown(expected)}; found {_shown(found)}")


def _shown(value: Any) -> str:
    return msgspec.json.encode(value)[:SHOWN].decode("utf-8", "replace")
