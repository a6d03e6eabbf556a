"""From a fetch to what a partition admits: rows with their windows, and dead letters. Runs in a thread."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from faust.types import TP

from schemas.sources import Source
from schemas.windows import SiteWindows
from streams import metrics
from streams.dead_letters import dead_letter, wire_size
from streams.fetch_lane import Fetch
from streams.intake import Intake
from streams.snapshot import Arrivals
from streams.windowing import assign_windows

#: Records that are decoded and admitted at once. It bounds the dead letters of one transaction, should all be refused.
MOST_RECORDS = 50_000


def pieces(fetch: Fetch, most: int = MOST_RECORDS) -> Iterator[Fetch]:
    """A fetch in parts of at most so many records, which together cover the same offsets."""
    records, base = fetch.records, fetch.base
    for start in range(0, len(records), most):
        after = start + most
        end = int(records.offsets[after]) if after < len(records) else fetch.end
        yield replace(fetch, base=base, end=end, records=records.part(start, after))
        base = end
    if not len(records):
        yield fetch


class FetchDecoder:
    """Decodes fetches of one source partition."""

    def __init__(self, tp: TP, source: Source, intake: Intake, windows: SiteWindows) -> None:
        self._tp, self._source = tp, source.value
        self._intake, self._windows = intake, windows

    def decode(self, fetch: Fetch, *, counted: bool) -> Arrivals:
        """Judge the records and give each row its window; `counted`: they are read for the first time."""
        records, started = fetch.records, time.perf_counter()
        decoded = self._intake.decode(records.values, records.timestamps, records.offsets)
        letters = [dead_letter(*self._tp, records[rejection.index], rejection) for rejection in decoded.rejections]
        rows = assign_windows(decoded.table, self._windows)
        if counted:
            metrics.RECORDS.labels(self._source).inc(len(records))
            metrics.BYTES.labels(self._source).inc(records.values.total_bytes)
            for error_class, count in Counter(letter.error_class.value for letter in letters).items():
                metrics.DEAD_LETTERS.labels(self._source, error_class).inc(count)
        metrics.DECODE_SECONDS.observe(time.perf_counter() - started)
        return Arrivals(fetch.base, fetch.end, rows, letters, sum(map(wire_size, letters)))
