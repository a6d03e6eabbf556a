"""Rows to windows, a fetch at a time: no Python loop over records."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.windows import SiteWindows, WindowGrid
from streams.event_times import Instants, Mask


@dataclass(frozen=True, slots=True)
class WindowedRows:
    """Rows of one fetch in offset order, with the window of each. All arrays have shape (rows,)."""

    table: pa.Table
    sites: npt.NDArray[np.int64]  # index into `site_ids`
    site_ids: list[str]
    offsets: npt.NDArray[np.int64]
    event_times: Instants
    starts: Instants
    ends: Instants

    def __len__(self) -> int:
        return len(self.offsets)

    def select(self, mask: Mask) -> "WindowedRows":
        """The rows where `mask` holds, in the same order."""
        if mask.all():
            return self
        picked = np.flatnonzero(mask)
        return self._pick(picked)

    def _pick(self, rows: npt.NDArray[np.int64]) -> "WindowedRows":
        return WindowedRows(
            self.table.take(pa.array(rows)),
            self.sites[rows],
            self.site_ids,
            self.offsets[rows],
            self.event_times[rows],
            self.starts[rows],
            self.ends[rows],
        )

    def by_window(self, among: Mask | None = None) -> Iterator["WindowedRows"]:
        """The rows of each (site, window), each group in offset order; only those where `among` holds, if given."""
        yield from self._runs(among, self.sites, self.starts)

    def by_site(self) -> Iterator["WindowedRows"]:
        """The rows of each site, each group in offset order."""
        yield from self._runs(None, self.sites)

    def _runs(self, among: Mask | None, *keys: npt.NDArray[np.int64]) -> Iterator["WindowedRows"]:
        if among is None or among.all():
            rows = np.arange(len(self))
        else:
            rows = np.flatnonzero(among)
            keys = tuple(key[rows] for key in keys)
        if not len(rows):
            return
        if all(key[0] == key.max() == key.min() for key in keys):
            yield self if len(rows) == len(self) else self._pick(rows)
            return
        in_runs = np.lexsort(keys[::-1])  # stable: equal keys stay in offset order
        order = rows[in_runs]
        changes = np.any([key[in_runs][1:] != key[in_runs][:-1] for key in keys], axis=0)
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(order)]
        for begin, end in pairwise(bounds):
            # A copy, not a slice: a slice would keep the whole fetch in memory for as long as its window is open.
            yield self._pick(order[begin:end])


def assign_windows(table: pa.Table, windows: SiteWindows) -> WindowedRows:
    """Give each row of a decoded fetch its window, as column `window_start` and as arrays.

    `table` has columns `site_id` (string), `event_time` and `source_offset` (int64), without nulls.
    """
    offsets = table.column("source_offset").to_numpy()
    event_times = table.column("event_time").to_numpy()
    encoded = pa.concat_arrays(table.column("site_id").chunks or [pa.array([], pa.string())]).dictionary_encode()
    sites = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    site_ids: list[str] = encoded.dictionary.to_pylist()
    starts, ends = _windows_of_sites(sites, site_ids, event_times, windows)
    table = table.append_column("window_start", pa.array(starts))
    return WindowedRows(table, sites, site_ids, offsets, event_times, starts, ends)


def _windows_of_sites(
    sites: npt.NDArray[np.int64], site_ids: list[str], event_times: Instants, windows: SiteWindows
) -> tuple[Instants, Instants]:
    size = windows.spec.size_ms
    if size:
        starts = event_times - event_times % size
        return starts, starts + size
    starts, ends = np.empty_like(event_times), np.empty_like(event_times)
    for grid in {id(grid): grid for grid in map(windows.grid_of, site_ids)}.values():
        members = [index for index, site in enumerate(site_ids) if windows.grid_of(site) is grid]
        mask = np.isin(sites, members)
        starts[mask], ends[mask] = _windows_of(event_times[mask], grid)
    return starts, ends


def _windows_of(event_times: Instants, grid: WindowGrid) -> tuple[Instants, Instants]:
    distinct, inverse = np.unique(event_times, return_inverse=True)
    starts, ends = np.empty_like(distinct), np.empty_like(distinct)
    row = 0
    while row < len(distinct):
        window = grid.window_of(int(distinct[row]))
        until = int(np.searchsorted(distinct, window.end))
        starts[row:until], ends[row:until] = window.start, window.end
        row = until
    return starts[inverse], ends[inverse]
