"""The chain of the audit log shows every edit, removal from the midst, insertion and move, whoever did it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audit_chain import START, ChainCheck, Head, head_of, link, verify
from schemas.codecs import decode, encode
from schemas.records import AuditEntry

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_entries = st.builds(
    AuditEntry,
    at=st.integers(0, 1 << 42),
    who=_texts,
    action=st.sampled_from(["replay", "discard", "park", "drain"]),
    why=_texts,
    what=st.dictionaries(_texts, _texts, max_size=3),
)
_logs = st.lists(_entries, min_size=3, max_size=8)


def chained(entries: list[AuditEntry], head: Head = START) -> list[bytes]:
    """The log that these entries make, as it is on the wire."""
    values = []
    for entry in entries:
        one = link(head, entry)
        head = head_of(one)
        values.append(encode(one))
    return values


@given(_logs)
def test_what_was_linked_is_whole_and_its_layout_does_not_matter(entries: list[AuditEntry]) -> None:
    """Also after somebody else has encoded the same content with other spaces and another order of keys."""
    log = chained(entries)
    assert verify(log) is None
    shuffled = [dict(reversed(msgspec.json.decode(value).items())) for value in log]
    assert verify([msgspec.json.format(msgspec.json.encode(value), indent=3) for value in shuffled]) is None


@given(_logs, st.data())
def test_every_edit_is_found(entries: list[AuditEntry], data: st.DataObject) -> None:
    """Of any field of any entry, also one that this version does not know, with the entry's hash left or removed."""
    log = chained(entries)
    place = data.draw(st.integers(0, len(log) - 1))
    content = msgspec.json.decode(log[place])
    field = data.draw(st.sampled_from([*content, "new"]))
    replacement = data.draw(st.one_of(_texts, st.integers(0, 9), st.dictionaries(_texts, _texts, max_size=1)))
    if content.get(field) == replacement:
        return
    found = verify([*log[:place], msgspec.json.encode({**content, field: replacement}), *log[place + 1 :]])
    if place == len(log) - 1 and field == "hash" and not replacement:
        assert found == f"entry {place + 1}: it has no hash, and those before it have"
    else:
        assert found is not None


@given(_logs, st.data())
def test_an_edit_under_a_new_hash_is_found_by_the_next_entry(entries: list[AuditEntry], data: st.DataObject) -> None:
    """Who edits an entry and hashes it anew must forge all that follow, and then the head is another."""
    log = chained(entries)
    place = data.draw(st.integers(0, len(log) - 2))
    head = head_of(decode(log[place - 1], AuditEntry)) if place else START
    forged = msgspec.structs.replace(entries[place], why=entries[place].why + "!")
    assert verify([*log[:place], *chained([forged], head), *log[place + 1 :]]) is not None
    rewritten = [*log[:place], *chained([forged, *entries[place + 1 :]], head)]
    assert verify(rewritten) is None
    check = ChainCheck(sought=decode(log[-1], AuditEntry).hash)
    for value in rewritten:
        check.add(value)
    assert not check.found, "a head that was noted would have passed for one of the rewritten log"


@given(_logs, _entries, st.data())
def test_removals_insertions_and_moves_are_found(
    entries: list[AuditEntry], stranger: AuditEntry, data: st.DataObject
) -> None:
    """Anywhere but at the end, which only a noted head can vouch for."""
    log = chained(entries)
    place = data.draw(st.integers(0, len(log) - 2))
    assert verify([*log[:place], *log[place + 1 :]]) is not None
    assert verify([*log[:place], encode(stranger), *log[place:]]) is not None
    assert verify([*log[: place + 1], log[place], *log[place + 1 :]]) is not None
    other = data.draw(st.integers(place + 1, len(log) - 1))
    moved = log.copy()
    moved[place], moved[other] = moved[other], moved[place]
    assert verify(moved) is not None


@given(_logs, _logs, st.data())
def test_entries_from_before_the_chain_are_counted_and_sealed(
    old: list[AuditEntry], new: list[AuditEntry], data: st.DataObject
) -> None:
    """They have no hash; the first entry that has one vouches for them. After it there may be none."""
    check = ChainCheck()
    for entry in old:
        check.add(encode(entry))
    sealed = [*map(encode, old), *chained(new, check.head)]
    assert (verify(sealed), check.unchained) == (None, len(old))
    place = data.draw(st.integers(0, len(old) - 1))
    edited = msgspec.structs.replace(old[place], who=old[place].who + "!")
    assert verify([*sealed[:place], encode(edited), *sealed[place + 1 :]]) is not None
    assert verify([*sealed, encode(old[0])]) is not None


@pytest.mark.parametrize("value", [None, b"", b"[1]", b"{", b"\xff"])
def test_what_is_no_entry_breaks_the_chain(value: bytes | None) -> None:
    """It cannot be told what it was."""
    assert verify([value]) == "entry 1: it is no JSON object"
