"""Completeness against its definition, window by window, and over whole histories of checkpoints."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from batcher.completeness import Passage, PassageBoard, Place
from batcher.sites import Site
from schemas.windows import WindowGrid, WindowSpec

HOUR = 3_600_000
GRID = WindowGrid(WindowSpec.parse("PT1H"), ZoneInfo("UTC"))
PARTITIONS = ("orders/0", "orders/1", "returns/0")
SITES = ("A", "B")
hours = st.integers(0, 12).map(lambda hour: hour * HOUR)
instants = st.integers(0, 12 * HOUR)


@st.composite
def passages(draw: st.DrawFn) -> Passage:
    """Any record."""
    return Passage(
        frontier=draw(st.none() | instants),
        idle=draw(st.booleans()),
        first_open=draw(st.dictionaries(st.sampled_from(SITES), hours)),
        announced=draw(st.dictionaries(st.integers(0, 1), st.integers(0, 20))),
    )


def has_passed(passage: Passage, site_id: str, end: int) -> bool:
    """The definition, word for word: F ≥ end, or idle and no open window of the site that starts before it."""
    nothing_open = not (site_id in passage.first_open and passage.first_open[site_id] < end)
    return (passage.frontier is not None and passage.frontier >= end) or (passage.idle and nothing_open)


@given(
    records=st.dictionaries(st.sampled_from(PARTITIONS), passages()),
    place=st.builds(Place, st.sampled_from(SITES), st.integers(0, 1), st.integers(0, 21)),
    end=hours,
)
def test_a_window_is_complete_exactly_by_the_definition(records: dict[str, Passage], place: Place, end: int) -> None:
    """For any records, one per partition, and any window that ends no later than the furthest frontier."""
    board = PassageBoard()
    for key, passage in records.items():
        board.put(key, passage)
    passed = board.passed(place, PARTITIONS)
    furthest = max((p.frontier for p in records.values() if p.frontier is not None), default=-1)
    by_definition = (
        set(records) == set(PARTITIONS)
        and all(passage.announced.get(place.partition, -1) < place.next_offset for passage in records.values())
        and all(has_passed(passage, place.site_id, end) for passage in records.values())
        and end <= furthest
    )
    assert (passed is not None and end <= passed) == by_definition


@dataclass
class Partition:
    """A source partition in the simplest of worlds: facts of one site come, windows close behind F.

    `manifests` lists (offset, window start) of what was announced on the one partition of the batches topic.
    """

    frontier: int | None = None
    open: set[int] = field(default_factory=set[int])
    last_manifest: int = -1


@dataclass
class World:
    """All source partitions, the batches topic that they share, and the records that a batch worker reads."""

    partitions: dict[str, Partition] = field(default_factory=lambda: {key: Partition() for key in PARTITIONS})
    log: list[tuple[str, int, bool]] = field(default_factory=list[tuple[str, int, bool]])

    def fact(self, key: str, at: int) -> None:
        """A fact comes: into its window, or as a correction if that is closed."""
        partition, start = self.partitions[key], at - at % HOUR
        late = partition.frontier is not None and start + HOUR <= partition.frontier
        if late:
            self._announce(partition, key, start, on_time=False)
        else:
            partition.open.add(start)

    def checkpoint(self, key: str, frontier: int, *, idle: bool) -> Passage:
        """F moves, windows behind it close, and a record says so."""
        partition = self.partitions[key]
        partition.frontier = max(frontier, partition.frontier or 0)
        for start in sorted(partition.open):
            if start + HOUR <= partition.frontier:
                partition.open.remove(start)
                self._announce(partition, key, start, on_time=True)
        first_open = {"A": min(partition.open)} if partition.open else {}
        return Passage(partition.frontier, idle, first_open, {0: partition.last_manifest})

    def _announce(self, partition: Partition, key: str, start: int, *, on_time: bool) -> None:
        partition.last_manifest = len(self.log)
        self.log.append((key, start, on_time))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("fact"), st.sampled_from(PARTITIONS), instants),
        st.tuples(st.just("checkpoint"), st.sampled_from(PARTITIONS), instants),
        st.tuples(st.just("take"), st.just(""), st.integers(1, 5)),
        st.tuples(st.just("forget"), st.just(""), st.just(0)),
    ),
    max_size=30,  # fewer records than are kept
)


@given(steps=steps)
def test_when_nobody_is_idle_no_on_time_batch_is_ever_taken_after_its_window_was_complete(
    steps: list[tuple[str, str, int]],
) -> None:
    """However checkpoints, the taking of manifests, and the forgetting of old records interleave; and the instant until
    which the site is complete only grows, by whole windows."""
    world, board, taken = World(), PassageBoard(), 0
    site = Site("A", 0, GRID, first_fact_ms=0)
    for action, key, number in steps:
        if action == "fact":
            world.fact(key, number)
        elif action == "checkpoint":
            board.put(key, world.checkpoint(key, number, idle=False))
        elif action == "take":
            for _, start, on_time in world.log[taken : taken + number]:
                assert not (on_time and start < (site.complete_until_ms or 0)), (start, site)
            taken = min(len(world.log), taken + number)
        else:
            board.forget_older({0: taken})
        passed = board.passed(Place("A", 0, taken), PARTITIONS)
        until = None if passed is None else site.advance(passed)
        if until is not None:
            assert until > (site.complete_until_ms or 0)
            assert until % HOUR == 0
            site.complete_until_ms = until


@given(steps=steps)
def test_forgetting_old_records_changes_no_answer(steps: list[tuple[str, str, int]]) -> None:
    """For who has taken what they were forgotten for, or more."""
    world, kept, pruned, taken = World(), PassageBoard(), PassageBoard(), 0
    for index, (action, key, number) in enumerate(steps):
        if action == "fact":
            world.fact(key, number)
        elif action == "checkpoint":
            passage = world.checkpoint(key, number, idle=index % 3 == 0)
            kept.put(key, passage)
            pruned.put(key, passage)
        elif action == "take":
            taken = min(len(world.log), taken + number)
        else:
            pruned.forget_older({0: taken})
        place = Place("A", 0, taken)
        assert pruned.passed(place, PARTITIONS) == kept.passed(place, PARTITIONS)
