"""The desk on arbitrary values: groups of anything, rows of any record, counters that always add up."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from desk_world import NOON, DeskWorld, group_of, letter, record
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.desk.grouping import PATH_SHOWN, STRUCTURE_SHOWN, Group, form_of, parts_of
from console.desk.indexed import HOUR_MS, STATES, VALUE_KEPT, State
from console.desk.letter_filter import LetterFilter
from console.desk.letter_rows import COLUMNS, Stretch, stretch_of
from console.desk.texts import field_text, plain_or_none
from schemas.dead_letters import DeadLetter, Headers
from schemas.errors import ErrorClass

PATHS = st.sampled_from(
    ["$", "", "$.sku", "$.a[0]", "$.a[99999999999999999999]", "$.١", "$..", "$[0]", "$.a.b", "." * 9000]
)
NUMBERS = st.integers() | st.just(10**400) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
NAMES = st.sampled_from(["sku", "site_id", "a", "\x00\x1f", "\ud7ff", ""]) | st.text(max_size=300)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=12)


def _json(content: Any) -> bytes:
    return json.dumps(content).encode("utf-8", "surrogatepass")


VALUES = st.none() | st.binary() | JSON.map(_json) | st.dictionaries(NAMES, JSON, max_size=80).map(_json)


@given(VALUES, PATHS | st.text(), st.binary(max_size=100))
@example(b'{"sku": ' + b"9" * 5000 + b"}", "$.sku", b"")
@example(b'{"sku": 1e999}', "$.sku", b"")
@example(b'{"sku": "\\ud800"}', "$.sku", b"\xff")
@example(b"[" * 5000, "$", b"\x1b[31m")
@example(b"\x00\x00\x00\x00\x07x", "$", b"")
@example(b'{"site_id": ' + b"1" * 4000 + b', "sku": {"a": [1]}}', "$.sku.a[0]", b"p")
def test_whatever_is_in_a_value_it_has_one_group(value: bytes | None, path: str, producer: bytes) -> None:
    """Nothing raises, the same letter has the same group, and its texts are bounded and can be printed and stored."""
    one = letter(value=value, path=path, headers=(("producer", producer),))
    group = group_of(one)
    assert group == group_of(one)
    assert (len(group.id), len(group.structure) <= STRUCTURE_SHOWN, len(group.path) <= PATH_SHOWN) == (12, True, True)
    assert len(group.pattern) <= 64
    assert len(group.producer) <= 64
    for text in (group.structure, group.pattern, group.producer):
        assert text.isprintable()


@given(st.dictionaries(st.sampled_from("abcdef"), SCALARS), st.randoms(use_true_random=False))
def test_the_order_of_fields_makes_no_other_group(content: dict[str, Any], random: Any) -> None:
    """Nor do the digits and letters of what is at the path."""
    names = list(content)
    random.shuffle(names)
    shuffled = {name: content[name] for name in names}
    assert form_of(_json(content), parts_of("$.a"))[1:] == form_of(_json(shuffled), parts_of("$.a"))[1:]


@given(st.from_regex(r"[0-9]{1,4}/[A-Z]{1,9}/[a-z]{1,9} [0-9]{1,9}", fullmatch=True))
def test_texts_of_one_pattern_are_one_group(text: str) -> None:
    """Runs of digits and letters count as one, whatever their length."""
    assert form_of(msgspec.json.encode({"a": text}), parts_of("$.a"))[2] == '"9/A/a 9"'


OURS = [name for name, _ in letter().to_headers() if name.startswith("dlq.")]
ODD = st.sampled_from(
    [b"", b"\xff", b"-1", b"9" * 30, b"9" * 5000, b"1_0", b" 7 ", "٣".encode(), b"unknown_unit", None]
)
CHANGES = st.dictionaries(st.sampled_from(OURS), ODD, max_size=2)
ORIGINAL = st.lists(st.tuples(st.sampled_from(["producer", "x", "dlq.root"]), st.binary(max_size=80)), max_size=3)


@given(VALUES, PATHS, ORIGINAL, CHANGES, st.sets(st.sampled_from(OURS), max_size=1))
def test_a_row_of_the_index_says_what_the_letter_says(
    value: bytes | None, path: str, original: list[tuple[str, bytes]], changes: dict[str, bytes], left_out: set[str]
) -> None:
    """Read at once or in two steps it is the same letter of the same group; or it is none, or no number that fits."""
    headers = [*original, *letter(value=value, path=path, headers=()).to_headers()]
    headers = [(name, changes.get(name, data)) for name, data in headers if name not in left_out]
    stretch, whole = _read(value, headers), _whole(value, tuple(headers))
    if not len(stretch.letters) or whole is None:
        numbers = () if whole is None else (whole.partition, whole.offset, whole.timestamp, whole.attempts)
        numbers += () if whole is None else (whole.first_failed_at,)
        assert whole is None or min(numbers) < 0 or max(numbers) >= 1 << 22
        assert (len(stretch.letters), stretch.strangers) == (0, [7])
        return
    (source,), (group,) = stretch.sources, stretch.groups
    assert (source, stretch.strangers) == ((whole.topic, whole.partition), [])
    assert group == group_of(whole)
    assert {name: stretch.letters[name] for name in COLUMNS} == {
        "place": [7],
        "origin": [whole.offset],
        "group_no": [0],
        "state": [0],
        "timestamp": [whole.timestamp],
        "posted_at": [NOON + 7 * 60_000],
        "attempts": [whole.attempts],
        "root": [None if whole.root == whole.id else whole.root],
        "first_failed_at": [whole.first_failed_at],
        "size": [None if value is None else len(value)],
        "site": [plain_or_none(field_text(value or b"", "site_id"))],
        "sku": [plain_or_none(field_text(value or b"", "sku"))],
        "stage": [whole.stage],
        "path": [None if whole.path == group.path else whole.path],
        "message": [whole.message],
        "value": [None if value is None else value[:VALUE_KEPT]],
    }


def _read(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Stretch:
    """As the index gets it: by way of another process."""
    stretch = stretch_of(0, [record("dead-letters", 7, value, headers)], "producer")
    assert stretch.end == 8
    return msgspec.msgpack.decode(msgspec.msgpack.encode(stretch), type=Stretch)


def _whole(value: bytes | None, headers: Headers) -> DeadLetter | None:
    try:
        return DeadLetter.from_record(value, headers)
    except ValueError:
        return None


STEPS = st.lists(
    st.tuples(st.just("letter"), st.integers(0, 12), st.sampled_from([ErrorClass.BAD_FORMAT, ErrorClass.NOT_JSON]))
    | st.tuples(st.sampled_from(["replay", "park", "discard"]), st.integers(0, 12), st.none())
    | st.tuples(st.just("expire"), st.integers(0, 5), st.none()),
    max_size=25,
)


@settings(max_examples=60)  # each makes a file
@given(STEPS)
def test_counters_say_what_counting_anew_would_say(steps: list[tuple[str, int, ErrorClass | None]]) -> None:
    """Letters, acts before and after them, letters that stand twice, retention: in any order."""
    with TemporaryDirectory() as folder:
        world, posted, states, begin = DeskWorld(Path(folder) / "x.sqlite"), list[DeadLetter](), dict[str, State](), 0
        for what, number, error_class in steps:
            if what == "letter":
                one = letter(number, error_class=error_class or ErrorClass.INTERNAL)
                posted.append(one)
                world.post(one)
            elif what == "expire":
                begin = min(begin + number, len(posted))
                world.expire(begin)
            else:
                states[letter(number).id] = {"replay": State.REPLAYED, "park": State.PARKED}.get(what, State.DISCARDED)
                world.act(what, letter(number).id)
        _assert_counted(world, posted, states, begin)
        world.close()


def _assert_counted(world: DeskWorld, posted: list[DeadLetter], states: dict[str, State], begin: int) -> None:
    left = [(one, states.get(one.id, State.WAITING), n) for n, one in enumerate(posted) if n >= begin]
    counts = world.index.stats()
    assert counts.by_state == {state: sum(it is state for _, it, _ in left) for state in STATES}
    assert counts.by_class == Counter(one.error_class.value for one, _, _ in left)
    assert counts.expired == begin
    looked_at = world.index.stats(LetterFilter(since=0))
    assert (looked_at.by_state, looked_at.waiting_by_class) == (counts.by_state, counts.waiting_by_class)
    assert looked_at.oldest_waiting == counts.oldest_waiting
    by_group = Counter[Group](group_of(one) for one, _, _ in left)
    assert {found.group: found.letters for found in world.index.groups()} == by_group
    for found in world.index.groups():
        mine = [one for one, _, _ in left if group_of(one) == found.group]
        assert (found.first_seen, found.last_seen) == (min(o.timestamp for o in mine), max(o.timestamp for o in mine))
        assert sum(world.index.trend(found.id).counts(NOON + HOUR_MS, 3)) == found.letters
