"""Facts name what they have in common by a number, and the number always stands for the same."""

from collections import defaultdict
from contextlib import closing

import pyarrow as pa
from hand_made import open_database
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher import series
from schemas.sources import Source

NAMES = "SELECT series_no, site_id, source::VARCHAR, sku, uom, channel FROM series"

Told = tuple[str, str, str | None]  # sku, uom, channel

_texts = st.text(max_size=3)
_told = st.lists(st.tuples(_texts, st.sampled_from(["EA", "CS"]), st.none() | _texts), min_size=1, max_size=12)
_kinds = st.tuples(st.sampled_from([Source.ORDERS, Source.RETURNS]), st.sampled_from(["S1", "S2"]))


def events(told: list[Told]) -> pa.Table:
    """In chunks, as they come from files."""
    schema = pa.schema([(name, pa.string()) for name in series.TEXTS])
    rows = [dict(zip(series.TEXTS, row, strict=True)) for row in told]
    half = len(rows) // 2
    return pa.concat_tables([pa.Table.from_pylist(rows[:half], schema), pa.Table.from_pylist(rows[half:], schema)])


# Each example fills tables, so there are fewer of them than elsewhere.
@settings(max_examples=max(25, settings.default.max_examples // 4))
@given(st.lists(st.dictionaries(_kinds, _told, max_size=3), max_size=4))
def test_a_number_stands_for_the_same_texts_for_ever(groups: list[dict[tuple[Source, str], list[Told]]]) -> None:
    """Whatever comes in whatever groups; texts that are equal have one number, and others have others."""
    numbers: dict[tuple[str, str, Told], set[int]] = defaultdict(set)
    with closing(open_database()) as database, database._file.writing() as connection:
        for group in filter(None, groups):
            told = [series.tell_apart(*kind, events(rows)) for kind, rows in group.items()]
            found = series.number(connection, [distinct for distinct, _ in told])
            for (kind, rows), (_, places), nos in zip(group.items(), told, found, strict=True):
                for row, number in zip(rows, nos[places].tolist(), strict=True):
                    numbers[kind[1], kind[0].value, row].add(number)
        names = {
            number: (site, source, tuple(texts))
            for number, site, source, *texts in connection.execute(NAMES).fetchall()
        }
    assert {number: key for key, (number,) in numbers.items()} == names
    halves = defaultdict(set)
    for number, (site, source, _) in names.items():
        halves[site, source].add(number >> 32)
    assert len({half for found in halves.values() for half in found}) == len(halves), "one upper half for each kind"
