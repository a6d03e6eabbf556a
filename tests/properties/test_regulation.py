"""Whatever a worker suffers, its concurrency stays within bounds, falls at once, and comes back in bounded steps."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from batcher.headroom import HOLD, PATIENCE_S, RELIEVE, Headroom
from batcher.regulation import CAUTION_BEATS, IDLE_BEATS, MOST_CAUTION_BEATS, Bounds, Reason, Regulator, Strain

LAG_S, MEMORY, DATABASE = 0.25, 1_000, 500
CALM = Strain(0.0, 1, queued=1_000)

bounds = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(
    lambda ends: Bounds(max(ends), LAG_S, MEMORY, DATABASE, min(ends))
)
strains = st.builds(
    Strain,
    st.sampled_from([0.0, LAG_S, 0.26, 9.0]),
    st.sampled_from([0, MEMORY, MEMORY + 1]),
    st.integers(0, 40),
    st.sampled_from([0, DATABASE, DATABASE + 1]),
)


@given(bounds, st.lists(strains, max_size=200))
def test_it_stays_within_its_bounds_and_moves_only_for_a_reason(limits: Bounds, story: list[Strain]) -> None:
    """Strain never raises it, and halves it unless it is as low as it may be; peace moves it by one at most."""
    regulator = Regulator(limits)
    for strain in story:
        before, strained = regulator.limit, regulator.strained_by(strain)
        after = regulator.adjust(strain)
        assert limits.min_concurrency <= after <= limits.max_concurrency
        if strained:
            assert after == max(limits.min_concurrency, before // 2)
        else:
            assert abs(after - before) <= 1
        if after != before:
            assert regulator.reason is (strained or (Reason.QUEUE if after > before else Reason.IDLE))


@given(bounds, st.lists(strains, max_size=200))
def test_it_comes_back_once_strain_is_over(limits: Bounds, story: list[Strain]) -> None:
    """To its maximum, within the longest caution and a beat for each reader, whatever went before."""
    regulator = Regulator(limits)
    for strain in story:
        regulator.adjust(strain)
    for _ in range(MOST_CAUTION_BEATS + limits.max_concurrency):
        regulator.adjust(CALM)
    assert regulator.limit == limits.max_concurrency


@given(st.integers(2, 19), st.sampled_from(["loop_lag_s", "memory_bytes", "database_bytes"]), st.integers(20, 3_000))
def test_a_steady_load_hardly_ever_makes_it_fall(bears: int, what: str, beats: int) -> None:
    """Where k readers are borne and k + 1 are not: at most 5 times and once every 320 beats, not every k beats."""
    regulator, falls = Regulator(Bounds(20, LAG_S, MEMORY, DATABASE)), 0
    too_much = replace(CALM, **{what: 2_000})
    for _ in range(beats):
        before = regulator.limit
        falls += regulator.adjust(too_much if before > bears else CALM) < before
    assert falls <= 5 + beats / MOST_CAUTION_BEATS
    if beats > CAUTION_BEATS:
        assert regulator.limit >= bears // 2


@given(st.integers(0, 40), st.integers(0, 40))
def test_two_loads_in_turn_without_strain_never_make_it_fall(first: int, second: int) -> None:
    """A queue that is now short and now long: it grows to what the longer one asks for, and stays there."""
    regulator = Regulator(Bounds(20, LAG_S, MEMORY))
    limits = [regulator.adjust(replace(CALM, queued=(first, second)[beat % 2])) for beat in range(100)]
    assert limits == sorted(limits)


def test_an_idle_worker_returns_to_where_it_started() -> None:
    """Slowly, so that a pause between two bursts costs nothing."""
    regulator = Regulator(Bounds(12, LAG_S, MEMORY))
    for _ in range(20):
        regulator.adjust(CALM)
    idle = replace(CALM, queued=0)
    assert [regulator.adjust(idle) for _ in range(IDLE_BEATS)] == [*[12] * (IDLE_BEATS - 1), 11]
    assert [regulator.adjust(idle) for _ in range(12)][-4:] == [2, 2, 2, 2]
    assert regulator.reason is Reason.IDLE


@given(st.lists(st.tuples(st.integers(0, 2_000_000_000), st.floats(0, 1)), max_size=50), st.integers(1, 500_000))
def test_a_group_never_wants_more_than_is_left(story: list[tuple[int, float]], most: int) -> None:
    """From `HOLD` on nothing is begun until memory is below `RELIEVE`; but for one batch each `PATIENCE_S`."""
    headroom, now_s, held, begun_s = Headroom(1_000_000_000), 0.0, False, 0.0
    for memory, passed_s in story:
        now_s += passed_s
        share = memory / headroom.limit_bytes
        began = not held and share >= HOLD
        held = share >= (RELIEVE if held else HOLD)
        begun_s = now_s if began else begun_s
        records = headroom.records(memory, most, now_s)
        if not held:
            assert records is not None
            assert 1 <= records <= most
        elif records is not None:
            assert records == 1
            assert now_s - begun_s >= PATIENCE_S
            begun_s = now_s
