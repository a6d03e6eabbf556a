"""The index of dead letters: what it counts, how it is asked, and that nothing can make it count wrong."""

from pathlib import Path

import pytest
from desk_world import ENDS, NOON, SOURCE, TOPIC, DeskWorld, letter, letter_records, record, stretch

from console.desk.counts_view import expiry_warning, sparkline
from console.desk.expiry import Retention, retention_ms, time_left
from console.desk.index import DeskIndex, place_numbers
from console.desk.index_file import open_file
from console.desk.indexed import HOUR_MS, VALUE_KEPT, Cursor, State, Trend
from console.desk.indexing import IndexMadeAnew, IndexWriter, Source
from console.desk.letter_filter import LetterFilter
from schemas.errors import ErrorClass
from schemas.topics import DAY_MS

RETURNS = "wms.returns.v1"


@pytest.fixture
def world(tmp_path: Path) -> DeskWorld:
    """An empty index."""
    return DeskWorld(tmp_path / "desk" / "letters.sqlite")


def test_letters_are_counted_by_class_state_and_chain(world: DeskWorld) -> None:
    """The last act says a letter's state, also where it was read before the letter; the foreign is counted apart."""
    world.act("replay", letter(3).id)
    world.post(letter(1), letter(2), letter(3), letter(4, error_class=ErrorClass.NOT_JSON, value=b"{"))
    world.writer.add_letters(stretch([record(SOURCE.dead_letters, 4, b"x")]))
    world.letters += 1
    world.act("park", letter(1).id)
    world.act("discard", letter(1).id)
    again = letter(9, attempts=2, root=letter(3).id)
    world.post(again)
    counts = world.index.stats()
    assert counts.by_state == {State.WAITING: 3, State.REPLAYED: 1, State.DISCARDED: 1, State.PARKED: 0}
    assert (counts.total, counts.chains, counts.unreadable) == (5, 4, 1)
    assert counts.by_class == {"bad_format": 4, "not_json": 1}
    assert counts.waiting_by_class == {"bad_format": 2, "not_json": 1}
    assert counts.oldest_waiting == NOON
    assert world.index.stats(LetterFilter(classes=frozenset({ErrorClass.NOT_JSON}))).total == 1
    of_chain = world.index.stats(LetterFilter(ids=frozenset({letter(3).id, again.id})))
    assert (of_chain.total, of_chain.chains) == (2, 1)
    alone = world.index.stats(LetterFilter(ids=frozenset({again.id})))
    assert (alone.total, alone.chains) == (1, 1)


def test_one_group_has_what_was_written_wrong_in_the_same_way(world: DeskWorld) -> None:
    """Its counts, its first and last letter, the hour of the oldest that waits, its trend; filters count within it."""
    world.post(*(letter(n) for n in range(3)), letter(50, error_class=ErrorClass.NOT_JSON, value=b"{"))
    world.act("replay", letter(0).id)
    first, second = world.index.groups()
    assert (first.letters, first.waiting, first.by_state[State.REPLAYED]) == (3, 2, 1)
    assert (first.first_seen, first.last_seen, first.oldest_waiting) == (NOON, NOON + 2000, NOON)
    assert (first.group.pattern, first.group.producer) == ('"9/9/9 9:9"', "scanner-7")
    assert (second.group.structure, second.letters) == ("JSON, broken", 1)
    assert world.index.group(first.id) == first
    assert world.index.group("nothing") is None
    assert world.index.trend(first.id).hours == {NOON: 3}
    assert world.index.trends(NOON)[second.id].hours == {NOON: 1}
    assert world.index.trends(NOON + 1)[second.id].hours == {}
    (some,) = world.index.groups(LetterFilter(sku="A1"))
    assert (some.id, some.letters) == (first.id, 1)
    assert [one.id for one in world.index.groups(states=[State.REPLAYED])] == [first.id]


def test_pages_hold_every_letter_once(world: DeskWorld) -> None:
    """The newest first, however many arrived in the same millisecond."""
    world.post(*(letter(n, timestamp=NOON + n // 5) for n in range(23)))
    seen, cursor = list[int](), None
    while page := world.index.letters(limit=4, before=cursor):
        seen += [one.offset for one in page]
        cursor = Cursor.parse(str(page[-1].cursor))
    assert seen == list(reversed(range(23)))
    with pytest.raises(ValueError, match="not a place in a list"):
        Cursor.parse("1-2-x")


def test_letters_are_found_by_what_is_asked_for(world: DeskWorld) -> None:
    """Every part of a filter; a text also where it is only in the message; a lone surrogate is no error."""
    world.post(letter(1), letter(2, message="CRATE is no unit"), letter(3, topic=RETURNS, value=b"\xff\x00CRATE"))
    world.act("discard", letter(2).id)

    def found(*, states: tuple[State, ...] = (), **parts: object) -> list[int]:
        return [one.offset for one in world.index.letters(LetterFilter(**parts), states=states)]  # type: ignore[arg-type]

    assert found() == [3, 2, 1]
    assert found(states=(State.WAITING,)) == [3, 1]
    assert found(states=(State.DISCARDED, State.PARKED)) == [2]
    assert found(text="CRATE") == [3, 2]
    assert found(text="\udcff") == []
    assert found(sku="A1", site="S1") == [1]
    assert found(sku="a1") == [], "a SKU is compared as it was sent"
    assert found(classes=frozenset({ErrorClass.NOT_JSON})) == []
    assert found(classes=frozenset({ErrorClass.NOT_JSON, ErrorClass.BAD_FORMAT})) == [3, 2, 1]
    assert found(topic=RETURNS) == [3]
    assert found(since=NOON + 2000, until=NOON + 3000) == [2]
    assert found(until=0) == []
    assert found(ids=frozenset({letter(1).id, "no.such/0/1"})) == [1]
    assert found(ids=frozenset({"no.such/0/1"})) == []
    assert world.index.places(LetterFilter(text="CRATE")) == [(0, 1), (0, 2)]
    assert world.index.places(LetterFilter(topic=TOPIC), states=[State.WAITING]) == [(0, 0)]
    one = world.index.letter(letter(2).id)
    assert one is not None
    assert (one.message, one.state, one.site, one.sku, one.stage) == (
        *("CRATE is no unit", State.DISCARDED, "S1", "A2", "validate"),
    )


def test_a_text_beyond_what_is_held_is_left_to_be_looked_up(world: DeskWorld) -> None:
    """The index says which letters may have it; those that were confirmed are found."""
    world.post(letter(1, value=b"x" * VALUE_KEPT + b"CRATE"), letter(2, value=b"CRATE"), letter(3, value=None))
    wanted = LetterFilter(text="CRATE")
    assert [one.offset for one in world.index.letters(wanted)] == [2]
    unsure = world.index.unsure(wanted)
    assert unsure == [(0, 0)]
    assert [one.offset for one in world.index.letters(wanted, confirmed=place_numbers(unsure))] == [2, 1]
    assert world.index.stats(wanted, confirmed=place_numbers(unsure)).total == 2
    cut, null = world.index.letter(letter(1).id), world.index.letter(letter(3).id)
    assert cut is not None
    assert null is not None
    assert (cut.cut, cut.size, cut.value) == (True, VALUE_KEPT + 5, b"x" * VALUE_KEPT)
    assert (null.cut, null.size, null.value) == (False, None, None)


def test_the_history_of_a_chain_is_never_lost(world: DeskWorld) -> None:
    """Each act with its recipe; a replay that failed again names the letter that came of it, also once that is gone."""
    world.post(letter(1), letter(2))
    recipe = {"recipe": "us-dates", "recipe_sha256": "ab12", "sent_to": letter(9).id, "root": letter(1).id, "run": "r1"}
    world.act("park", letter(1).id)
    world.act("replay", letter(1).id, **recipe)
    (park, replay) = world.index.acts(root=letter(1).id)
    assert (park.action, park.recipe, replay.recipe, replay.recipe_sha256) == ("park", None, "us-dates", "ab12")
    assert (park.run, replay.run, replay.sent_to, replay.failed_again_as) == (None, "r1", letter(9).id, None)
    world.post(letter(9, attempts=2, root=letter(1).id))
    world.act("discard", letter(9).id, root=letter(1).id)
    assert [one.offset for one in world.index.chain(letter(1).id)] == [1, 9]
    acts = world.index.acts(root=letter(1).id)
    assert [(act.action, act.letter) for act in acts] == [
        *(("park", letter(1).id), ("replay", letter(1).id), ("discard", letter(9).id)),
    ]
    assert acts[1].failed_again_as == letter(9).id
    assert world.index.acts([letter(9).id]) == acts[2:]
    world.expire(2)
    assert [one.offset for one in world.index.chain(letter(1).id)] == [9]
    assert world.index.acts(root=letter(1).id) == acts
    world.expire(3)
    assert not world.index.chain(letter(1).id)
    assert world.index.acts(root=letter(1).id) == acts


def test_what_retention_removed_is_counted_no_more(world: DeskWorld) -> None:
    """Letters, groups, hours; how many of them nobody had acted on is remembered."""
    world.post(letter(1), letter(2), letter(3, error_class=ErrorClass.NOT_JSON, value=b"{"), letter(4))
    world.act("replay", letter(1).id)
    world.expire(3)
    counts = world.index.stats()
    assert (counts.total, counts.expired, counts.expired_waiting, counts.chains) == (1, 3, 2, 1)
    (left,) = world.index.groups()
    assert (left.letters, left.group.error_class) == (1, "bad_format")
    world.post(letter(5, error_class=ErrorClass.NOT_JSON, value=b"{"))
    assert world.index.stats().by_class == {"bad_format": 1, "not_json": 1}


def test_a_root_may_be_anything_that_a_producer_wrote(world: DeskWorld) -> None:
    """It is kept as it is, and is not mistaken for the id that it looks like."""
    odd = ["", "x", "t/01/5", "t/1/-5", "a/b/c", f"{TOPIC}/2/{1 << 50}", "t/١/5", "ü/1/2"]
    world.post(*(letter(n, root=root, attempts=2) for n, root in enumerate(odd)))
    assert [one.root for one in reversed(world.index.letters())] == odd
    for n, root in enumerate(odd):
        assert [one.offset for one in world.index.chain(root)] == [n]
    assert world.index.stats().chains == len(odd)


def test_what_two_processes_read_at_once_is_indexed_once(world: DeskWorld) -> None:
    """Whoever comes second leaves out what the first one has added, and has no number of a group that is gone."""
    records = letter_records([letter(n) for n in range(10)])
    other = IndexWriter(open_file(world.path), SOURCE)
    assert other.begin(ENDS)[SOURCE.dead_letters] == {}
    world.writer.add_letters(stretch(records[:4]))
    other.add_letters(stretch(records[:7]))
    world.writer.add_letters(stretch(records[4:6]))
    assert world.index.stats().total == 7
    world.writer.finish({0: 7}, ENDS | {SOURCE.dead_letters: {0: 7}})
    other.add_letters(stretch(records[7:]))
    (group,) = world.index.groups()
    assert (group.letters, len(world.index.letters())) == (3, 3)


def test_what_was_read_once_can_be_added_more_than_once(world: DeskWorld, tmp_path: Path) -> None:
    """To another index as well, which gives out other numbers; and a stretch that overlaps adds only what is new."""
    other = DeskWorld(tmp_path / "other.sqlite")
    other.post(letter(99, partition=7, error_class=ErrorClass.NOT_JSON, value=b"{"))
    read = stretch(letter_records([letter(n, root=letter(n % 2).id) for n in range(4)], first=1))
    world.writer.add_letters(stretch(letter_records([letter(0, root=letter(0).id)], first=1)))
    for one in (other, world, other):
        one.writer.add_letters(read)
    found, others = world.index.letters(), other.index.letters()
    assert [one.id for one in found] == [letter(n).id for n in (3, 2, 1, 0)]
    assert found == [one for one in others if one.partition != 7]
    other.close()


def test_an_index_of_another_pipeline_is_begun_again(world: DeskWorld) -> None:
    """So is one that is further on than its topic; whoever was adding to the former one is told."""
    world.post(letter(1))
    other = Source(SOURCE.dead_letters, SOURCE.audit_log, "producer", {"dead_letters": "dead-letters 2"})
    begun = IndexWriter(open_file(world.path), other)
    assert begun.begin(ENDS) == {SOURCE.dead_letters: {}, SOURCE.audit_log: {}}
    assert world.index.stats().total == 0
    with pytest.raises(IndexMadeAnew):
        world.post(letter(2))
    begun.add_letters(stretch(letter_records([letter(1), letter(2)])))
    assert begun.begin(ENDS)[SOURCE.dead_letters] == {0: 2}
    assert begun.begin(ENDS | {SOURCE.dead_letters: {0: 1}})[SOURCE.dead_letters] == {}
    assert world.index.stats().total == 0


@pytest.mark.parametrize("damage", ["version", "garbage", "truncated", "other tables"])
def test_a_file_that_is_no_good_is_made_anew(tmp_path: Path, damage: str) -> None:
    """It is only a cache: of an older version, damaged, or none of ours."""
    world = DeskWorld(tmp_path / "letters.sqlite")
    world.post(*(letter(n) for n in range(200)))
    world.index.close()
    connection = open_file(world.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if damage == "version":
        connection.execute("PRAGMA user_version = 99")
    elif damage == "other tables":
        connection.execute("DROP TABLE letters")
        connection.execute("CREATE TABLE letters (other)")
        connection.execute("PRAGMA user_version = 0")
    connection.close()
    world.writer.close()
    if damage == "garbage":
        world.path.write_bytes(b"garbage" * 1000)
    elif damage == "truncated":
        world.path.write_bytes(world.path.read_bytes()[:5000])
    again = DeskWorld(world.path)
    assert again.positions[SOURCE.dead_letters] == {}
    again.post(letter(1))
    assert DeskIndex.open(world.path).stats().total == 1


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"retention.ms": "1000"}, 1000),
        ({"retention.ms": "-1"}, None),
        ({"retention.ms": "1000", "cleanup.policy": "compact"}, None),
        ({"retention.ms": "1000", "cleanup.policy": "compact,delete"}, 1000),
        ({}, None),
    ],
)
def test_retention_is_what_the_broker_says(config: dict[str, str], kept: int | None) -> None:
    """Without limit where nothing is deleted by age, or where we may not ask."""
    assert retention_ms(config) == kept


def test_it_is_said_in_time_that_letters_will_be_removed() -> None:
    """From 14 days before, with what can be done about it."""
    kept = Retention(90 * DAY_MS)
    assert not kept.is_near(NOON, NOON + 75 * DAY_MS)
    assert kept.is_near(NOON, NOON + 77 * DAY_MS)
    assert (kept.warn_before(NOON), Retention(None).warn_before(NOON)) == (NOON - 76 * DAY_MS, None)
    said = expiry_warning(1200, NOON, kept, NOON + 80 * DAY_MS)
    assert said is not None
    assert said.startswith(
        "1,200 waiting dead letters pass the topic's retention within 14 days, the oldest is removed in 10 d:"
    )
    assert expiry_warning(0, NOON, kept, NOON) is None
    assert expiry_warning(5, NOON, Retention(None), NOON) is None
    assert "at any moment" in str(expiry_warning(5, NOON, kept, NOON + 91 * DAY_MS))
    assert [time_left(at, 0) for at in (None, -1, HOUR_MS, 3 * DAY_MS)] == ["", "any moment", "1 h 00 min", "3 d"]


def test_a_trend_has_a_bar_for_each_hour() -> None:
    """The hour of now is the last one; what is older than the first one is left out."""
    trend = Trend({NOON: 8, NOON - HOUR_MS: 1, NOON - 9 * HOUR_MS: 5})
    assert trend.counts(NOON + 1, 4) == [0, 0, 1, 8]
    assert sparkline([0, 0, 1, 8]) == "··▁█"
    assert sparkline([0, 0]) == "··"
