"""Windows are given to a whole fetch at once exactly as they would be to each row alone."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import SiteWindows, SiteZones, WindowSpec
from streams.windowing import WindowedRows, assign_windows

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
YEAR_3000 = 32_503_680_000_000
# Changes of the clock: London both ways, New York, Lord Howe by half an hour, Beirut at midnight.
CHANGES = (1_774_746_000_000, 1_792_890_000_000, 1_772_953_200_000, 1_775_314_800_000, 1_774_735_200_000)
ZONES = SiteZones(
    {
        "LDN": "Europe/London",
        "LDN-2": "Europe/London",
        "NYC": "America/New_York",
        "LHI": "Australia/Lord_Howe",
        "BEY": "Asia/Beirut",
        "CCU": "Asia/Kolkata",
    }
)
SPECS = ("PT1H", "PT15M", "local-day", "shifts:06:00,14:00,22:00", "shifts:00:30,02:30")
WINDOWS = [SiteWindows(WindowSpec.parse(spec), ZONES) for spec in SPECS]

event_times = st.one_of(
    st.integers(0, YEAR_3000 - 1),
    st.builds(int.__add__, st.sampled_from(CHANGES), st.integers(-36 * 60, 36 * 60).map(lambda m: m * MINUTE)),
    st.builds(int.__add__, st.sampled_from(CHANGES), st.integers(-2 * DAY, 2 * DAY)),
)
records = st.tuples(st.sampled_from([*ZONES.names, "elsewhere"]), event_times, st.integers(1, 3))


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A decoded fetch: sites and event times in any order, ascending offsets with holes, one or more chunks."""
    chunks, offset = [], -1
    for drawn in draw(st.lists(st.lists(records, max_size=15), min_size=1, max_size=3)):
        offsets: list[int] = []
        for _, _, step in drawn:
            offset += step
            offsets.append(offset)
        columns = {
            "site_id": pa.array([site for site, _, _ in drawn], pa.string()),
            "event_time": pa.array([at for _, at, _ in drawn], pa.int64()),
            "source_offset": pa.array(offsets, pa.int64()),
        }
        chunks.append(pa.table(columns))
    return pa.concat_tables(chunks)


def row_tuples(rows: WindowedRows) -> list[tuple[str, int, int, int, int]]:
    """Each row as (site, offset, event time, start, end), from the arrays."""
    sites = [rows.site_ids[index] for index in rows.sites]
    arrays = (rows.offsets, rows.event_times, rows.starts, rows.ends)
    return list(zip(sites, *(array.tolist() for array in arrays), strict=True))


def assert_table_agrees(rows: WindowedRows) -> None:
    """The table of some rows says what their arrays say."""
    names = ("site_id", "source_offset", "event_time", "window_start")
    told = list(zip(*(rows.table.column(name).to_pylist() for name in names), strict=True))
    assert told == [row[:4] for row in row_tuples(rows)]


@given(tables(), st.sampled_from(WINDOWS))
def test_a_fetch_gets_the_windows_of_its_rows(table: pa.Table, windows: SiteWindows) -> None:
    """Row by row the window is `SiteWindows.window_of`, it holds the event time, and the order stays."""
    rows = assign_windows(table, windows)
    expected = []
    columns = (table.column(name).to_pylist() for name in ("site_id", "source_offset", "event_time"))
    for site, offset, at in zip(*columns, strict=True):
        window = windows.window_of(site, at)
        assert window.start <= at < window.end
        expected.append((site, offset, at, window.start, window.end))
    assert row_tuples(rows) == expected
    assert_table_agrees(rows)


@given(tables(), st.sampled_from(WINDOWS), st.data())
def test_groups_share_out_the_rows(table: pa.Table, windows: SiteWindows, data: st.DataObject) -> None:
    """`by_window` and `by_site` put each row in one group, one group per key, each in offset order; all or some."""
    rows = assign_windows(table, windows)
    some = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)
    for groups, key_of, whole in (
        (list(rows.by_window()), lambda row: (row[0], row[3]), rows),
        (list(rows.by_window(some)), lambda row: (row[0], row[3]), rows.select(some)),
        (list(rows.by_site()), lambda row: row[0], rows),
    ):
        keys = [{key_of(row) for row in row_tuples(group)} for group in groups]
        assert all(len(key) == 1 for key in keys)
        assert len(set.union(set(), *keys)) == len(groups)
        shared_out = [row for group in groups for row in row_tuples(group)]
        assert sorted(shared_out, key=lambda row: row[1]) == row_tuples(whole)
        for group in groups:
            assert group.offsets.tolist() == sorted(group.offsets.tolist())
            assert_table_agrees(group)


@given(tables(), st.sampled_from(WINDOWS), st.data())
def test_a_selection_keeps_order_and_rows(table: pa.Table, windows: SiteWindows, data: st.DataObject) -> None:
    """`select` keeps exactly the rows of the mask, in order, in the table and in the arrays alike."""
    rows = assign_windows(table, windows)
    mask = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    picked = rows.select(np.array(mask, dtype=bool))
    assert row_tuples(picked) == [row for row, keep in zip(row_tuples(rows), mask, strict=True) if keep]
    assert_table_agrees(picked)
