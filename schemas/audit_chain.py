"""The chain of the audit log: each entry carries its place, the hash of the one before, and its own. Pure.

A hash is the SHA-256 of the entry's canonical JSON (keys sorted, no spaces) without the hash itself. So an entry that
was edited, removed from the midst, inserted or moved breaks the chain where that was done. What it cannot show is a
tail that was cut off: for that, note the head elsewhere and ask later whether it is still in the chain.

Entries of versions that knew no chain have no hash. They count as links all the same: the first one that has a hash
seals them. After it there may be none.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import msgspec

from schemas.records import AuditEntry

_CANONICAL = msgspec.json.Encoder(order="sorted")
_HASH = "hash"


class Head(NamedTuple):
    """The end of a chain: how many entries there are, and the hash of the last; empty where there is none."""

    seq: int = 0
    hash: str = ""


START = Head()


def link(head: Head, entry: AuditEntry) -> AuditEntry:
    """The entry as the next one behind `head`."""
    placed = msgspec.structs.replace(entry, seq=head.seq + 1, prev=head.hash, hash="")
    return msgspec.structs.replace(placed, hash=_digest(msgspec.structs.asdict(placed)))


def head_of(entry: AuditEntry) -> Head:
    """The end of a chain whose last entry this is."""
    return Head(entry.seq, entry.hash)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_CANONICAL.encode({k: v for k, v in content.items() if k != _HASH})).hexdigest()


@dataclass(slots=True)
class ChainCheck:
    """Follows a log from its first entry to its last, a value at a time, in little memory.

    `sought` is a head that was noted earlier; `found` says whether it has come by.
    """

    sought: str = ""
    head: Head = START
    unchained: int = 0
    problem: str | None = None  # the first broken link
    found: bool = False

    def add(self, value: bytes | None) -> None:
        """Take the next record of the log as it is on the wire; unknown fields are under the hash, too."""
        content = _content(value)
        stated = str(content.get(_HASH, ""))
        fault = self._fault(content, stated)
        if fault is not None and self.problem is None:
            self.problem = f"entry {self.head.seq + 1}: {fault}"
        if stated:
            self.head = Head(self.head.seq + 1, stated)
        else:
            self.unchained += 1
            self.head = Head(self.head.seq + 1, _digest({"entry": content, "prev": self.head.hash}))
        self.found = self.found or (bool(self.sought) and self.head.hash == self.sought)

    def _fault(self, content: Mapping[str, Any], stated: str) -> str | None:
        if not content:
            return "it is no JSON object"
        if not stated:
            return "it has no hash, and those before it have" if self.head.seq > self.unchained else None
        if stated != _digest(content):
            return "its hash is not that of its content: it was edited"
        if content.get("prev") != self.head.hash:
            return f"it does not follow the one before: entries were removed, inserted or moved ({_placed(content)})"
        if content.get("seq") != self.head.seq + 1:
            return f"it is out of place ({_placed(content)})"
        return None


def _placed(content: Mapping[str, Any]) -> str:
    return f"it says that it is number {content.get('seq')}"


def _content(value: bytes | None) -> dict[str, Any]:
    """The object that a value is; an empty one where it is none."""
    try:
        content = msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return cast(dict[str, Any], content) if isinstance(content, dict) else {}


def verify(values: Iterable[bytes | None]) -> str | None:
    """The first broken link of a log, in words; None where the chain is whole."""
    check = ChainCheck()
    for value in values:
        check.add(value)
    return check.problem
