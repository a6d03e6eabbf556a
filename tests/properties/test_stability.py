"""Hysteresis: the stable class follows the class of the moment once that is certain, or has lasted."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby

import pytest
from hand_made import open_database
from hypothesis import given
from hypothesis import strategies as st

from batcher.database import Database
from batcher.stability import margins
from runtime.settings import VelocitySettings

MARGIN, RUNS = 0.1, 3  # an A until 0.88, a B from 0.72 to 1.045, a C down to 0.855

_STEP = """
SELECT next_stable_class(class, former_stable, beyond, pending, $class_runs), pending FROM (
    SELECT
        *, pending_runs(class, former_stable, former_class, former_pending) AS pending,
        is_beyond(former_stable, class, before, 1::DECIMAL(28, 9), $join_a, $leave_a, $join_b, $leave_b) AS beyond
    FROM (SELECT
        $class AS class, $former_stable AS former_stable, $former_class AS former_class,
        $former_pending::INTEGER AS former_pending, $before::DECIMAL(38, 9) AS before)
)
"""


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with closing(open_database()) as opened:
        yield opened


def raw_class(share: float) -> str:
    return "A" if share < 0.80 else "B" if share < 0.95 else "C"


def stable_classes(database: Database, shares: Sequence[float]) -> list[str]:
    """The stable class after each of a SKU's runs, by its cumulative shares before, as the product's SQL has it."""
    rules = VelocitySettings(class_margin=MARGIN, class_runs=RUNS)
    stable, former, pending = None, None, 0
    found: list[str] = []
    with database._file.reading() as connection:
        for share in shares:
            values = {
                **margins(rules),
                "class_runs": RUNS,
                "class": raw_class(share),
                "former_stable": stable,
                "former_class": former,
                "former_pending": pending,
                "before": str(share),
            }
            ((stable, waited),) = connection.execute(_STEP, values).fetchall()
            former = raw_class(share)
            pending = 0 if stable == former else waited
            found.append(stable)
    return found


CASES = [
    ((0.79, 0.81, 0.87, 0.79, 0.87), "AAAAA"),  # within the margin, never long enough
    ((0.79, 0.81, 0.81, 0.81, 0.79, 0.79, 0.79), "AAABBBA"),  # three in a row
    ((0.79, 0.88), "AB"),  # the bound of the margin is beyond it
    ((0.79, 0.8799), "AA"),
    ((0.81, 0.7201, 0.72, 0.7199), "BBBA"),  # below it is beyond; three in a row are, too
    ((0.81, 0.71), "BA"),
    ((0.99, 0.86, 0.94, 0.85), "CCCB"),
    ((0.79, 0.96, 0.81, 0.79), "ACBB"),  # what passed its bound by far has the class of the moment
    ((0.79, 0.81, 0.951, 0.81, 0.79), "AACBB"),
]


@pytest.mark.parametrize(("shares", "classes"), CASES)
def test_a_class_changes_beyond_the_margin_or_after_three_runs(
    database: Database, shares: Sequence[float], classes: str
) -> None:
    """By the cumulative share before: A below 0.80, C from 0.95 on, and a tenth of either as the margin."""
    assert "".join(stable_classes(database, shares)) == classes


swings = st.floats(0.0, 0.09).map(lambda swing: round(swing, 6))


@given(bound=st.sampled_from([0.80, 0.95]), swings=st.lists(st.tuples(swings, st.integers(1, RUNS - 1)), max_size=6))
def test_a_sku_that_oscillates_across_a_threshold_changes_at_most_once(
    database: Database, bound: float, swings: list[tuple[float, int]]
) -> None:
    """However far within the margin, and however long on either side below three runs."""
    shares = [
        bound * (1 + swing if side % 2 else 1 - swing - 1e-6)
        for side, (swing, length) in enumerate(swings)
        for _ in range(length)
    ]
    assert len(list(groupby(stable_classes(database, shares)))) <= 2


@given(shares=st.lists(st.floats(0, 0.999).map(lambda share: round(share, 6)), min_size=RUNS, max_size=8))
def test_a_class_that_lasts_becomes_the_stable_one(database: Database, shares: list[float]) -> None:
    """After three runs in a row with one class, whatever came before; and no SKU gets a class that it never had."""
    classes = [raw_class(share) for share in shares]
    stable = stable_classes(database, shares)
    for end in range(RUNS, len(shares) + 1):
        if len(set(classes[end - RUNS : end])) == 1:
            assert stable[end - 1] == classes[end - 1]
    assert all(one in classes[: number + 1] for number, one in enumerate(stable))
