"""The input of the benchmarks: order lines of busy sites as JSON of about 224 bytes, made as columns.

The same arguments give the same bytes, chunk by chunk, so that any lane can make the columns again and check what it
got. Line i belongs to partition i mod `partitions`, at offset i div `partitions` of a topic that holds nothing else.
Event time runs at `EVENTS_PER_SECOND`, and each event is up to `DISORDER_MS` late: a frontier that follows the latest
event time at that distance finds none of them late.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.avro_lines import as_avro

Longs = npt.NDArray[np.int64]

SITE = "DC-01"  # the first one, and the only one unless a feed has more
START_MS = 1_736_143_200_000  # 2025-01-06T06:00:00Z
EVENTS_PER_SECOND = 400
DISORDER_MS = 30_000
LATE_BY_MS = 2 * 86_400_000
CHUNK = 50_000
DEFAULT_EVENTS = 2_000_000

_CUT_OFF, _FIRST_LATE = 0, 1  # of the hundred that a line's dirt is drawn from
_LINES_PER_ORDER = 4
_CHANNELS = (b'"web"', b'"store"', b'"wholesale"', b"null")
_PROMOS = (b"null", b"null", b"null", b'"PROMO-2025-01"')
_HEX = np.array([list(b"%02x" % byte) for byte in range(256)], np.uint8)
_UUID_DASHES = (8, 13, 18, 23)
_MILLIS = pa.array([b"%03d" % millis for millis in range(1000)], pa.binary())
_join = pc.binary_join_element_wise  # pyright: ignore[reportAttributeAccessIssue]: made at run time


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines `[start, start + rows)` of a feed. All arrays have shape (rows,)."""

    start: int
    lines: pa.BinaryArray
    partitions: Longs
    event_times: Longs  # UTC milliseconds
    quantities: Longs  # thousandths


@dataclass(frozen=True, slots=True)
class BenchFeed:
    """A feed of `events` order lines over `skus` SKUs, for a topic of `partitions` partitions.

    Flavours: `json`; `avro`, the same events in Confluent's wire format; `dirty`, as JSON with one line in a hundred
    cut off in the middle and another one days late. `sites` share the lines evenly, each over all partitions;
    `late_percent` of the lines are days late.
    """

    events: int = DEFAULT_EVENTS
    skus: int = 20_000
    partitions: int = 4
    seed: int = 224
    flavour: Literal["json", "avro", "dirty"] = "json"
    sites: int = field(default=1, repr=False)  # not in the text that a fingerprint is made of, unless it is another
    late_percent: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        if min(self.events, self.skus, self.partitions, self.sites) < 1:
            raise ValueError(f"a feed has at least one event, SKU, partition and site: {self}")
        if not 0 <= self.late_percent < 100:
            raise ValueError(f"0 to 99 lines in a hundred can be late, not {self.late_percent}")

    def chunks(self) -> Iterator[Chunk]:
        """The feed in order, `CHUNK` lines at a time."""
        for start in range(0, self.events, CHUNK):
            yield self._chunk(start)

    @property
    def fingerprint(self) -> str:
        """8 hexadecimal digits that change when the lines would: a topic that bears them can be used again."""
        first = self._chunk(0).lines
        digest = hashlib.sha256(repr(self).encode())
        if (self.sites, self.late_percent) != (1, 0):
            digest.update(f"{self.sites} sites, {self.late_percent} % late".encode())
        digest.update(first[0].as_py() + first[-1].as_py())
        return digest.hexdigest()[:8]

    @property
    def mean_bytes(self) -> float:
        """Mean length of the lines of the first chunk."""
        return float(np.mean(pc.binary_length(self._chunk(0).lines).to_numpy()))  # pyright: ignore

    def end_offsets(self) -> dict[int, int]:
        """Records per partition, which is its end offset."""
        return {p: len(range(p, self.events, self.partitions)) for p in range(self.partitions)}

    def quantities(self) -> list[Longs]:
        """Per partition the quantity at each offset in thousandths, shape (records of the partition,)."""
        return self._by_offset(np.concatenate([draws.quantities for draws in self._all_draws()]))

    def site_numbers(self) -> list[Longs]:
        """Per partition the number of the site at each offset, an index into `site_ids`; shaped like `quantities`."""
        return self._by_offset(np.concatenate([draws.sites for draws in self._all_draws()]))

    @property
    def site_ids(self) -> list[str]:
        """The names of the sites: `DC-01` and so on."""
        return [f"DC-{number:02d}" for number in range(1, self.sites + 1)]

    def refused(self) -> int:
        """How many lines are dead letters."""
        if self.flavour != "dirty":
            return 0
        return sum(int((draws.dirt == _CUT_OFF).sum()) for draws in self._all_draws())

    def _by_offset(self, column: Longs) -> list[Longs]:
        return [column[partition :: self.partitions] for partition in range(self.partitions)]

    def _rows(self, start: int) -> int:
        return min(CHUNK, self.events - start)

    def _all_draws(self) -> "Iterator[_Draws]":
        return (self._draws(start, self._rows(start)) for start in range(0, self.events, CHUNK))

    def _draws(self, start: int, rows: int) -> "_Draws":
        return _Draws.of(np.random.default_rng([self.seed, start]), rows, self.skus, self.sites)

    def _chunk(self, start: int) -> Chunk:
        rows = self._rows(start)
        numbers = np.arange(start, start + rows)
        draws = self._draws(start, rows)
        late = (draws.dirt >= _FIRST_LATE) & (draws.dirt < _FIRST_LATE + self._late_percent)
        times = START_MS + numbers * 1000 // EVENTS_PER_SECOND - draws.delays_ms - np.where(late, LATE_BY_MS, 0)
        lines = _lines(numbers, times, draws, self)
        if self.flavour == "dirty":
            lines = pc.if_else(pa.array(draws.dirt == _CUT_OFF), pc.binary_slice(lines, 0, 100), lines)  # pyright: ignore
        elif self.flavour == "avro":
            lines = as_avro(lines)
        return Chunk(start, lines, numbers % self.partitions, times, draws.quantities)

    @property
    def _late_percent(self) -> int:
        return max(self.late_percent, int(self.flavour == "dirty"))


@dataclass(frozen=True, slots=True)
class _Draws:
    """The random columns of a chunk, each of shape (rows,) but `ids`, (rows, 16)."""

    quantities: Longs  # first, so that they can be drawn again alone
    delays_ms: Longs
    skus: Longs
    channels: Longs
    promos: Longs
    ids: npt.NDArray[np.uint8]
    dirt: Longs  # of 0 to 99
    sites: Longs  # last, as whatever is new will be: so the others stay the same

    @classmethod
    def of(cls, rng: np.random.Generator, rows: int, skus: int, sites: int) -> "_Draws":
        whole = 1000 * rng.geometric(0.4, rows)
        weighed = rng.integers(1, 20_000, rows)  # one in twenty is sold by weight
        return cls(
            quantities=np.where(rng.random(rows) < 0.05, weighed, whole),
            delays_ms=rng.integers(0, DISORDER_MS, rows),
            skus=(skus * rng.random(rows) ** 3).astype(np.int64),  # a tenth of the SKUs makes almost half of the lines
            channels=rng.integers(0, len(_CHANNELS), rows),
            promos=rng.integers(0, len(_PROMOS), rows),
            ids=rng.integers(0, 256, (rows, 16), dtype=np.uint8),
            dirt=rng.integers(0, 100, rows),
            sites=rng.integers(0, sites, rows),
        )


def _lines(numbers: Longs, event_times: Longs, draws: _Draws, feed: BenchFeed) -> pa.BinaryArray:
    """The events as JSON, one per row, fields in the order of the contract."""
    sites = pa.array([site.encode() for site in feed.site_ids], pa.binary())
    pieces = (
        b'{"event_id":"',
        _uuids(draws.ids),
        b'","site_id":"',
        sites.take(pa.array(draws.sites)),
        b'","sku":"SKU-',
        _digits(draws.skus, max(6, len(str(feed.skus - 1)))),
        b'","event_time":"',
        *_instants(event_times),
        b'Z","quantity":',
        _decimals(draws.quantities),
        b',"uom":"EA","order_id":"ORD-',
        _digits(numbers // _LINES_PER_ORDER, 8),
        b'","line":',
        _digits(numbers % _LINES_PER_ORDER + 1, 1),
        b',"channel":',
        pa.array(_CHANNELS, pa.binary()).take(pa.array(draws.channels)),
        b',"promo_id":',
        pa.array(_PROMOS, pa.binary()).take(pa.array(draws.promos)),
        b"}",
    )
    columns = [pa.scalar(piece, pa.binary()) if isinstance(piece, bytes) else piece for piece in pieces]
    return _join(*columns, b"")


def _uuids(ids: npt.NDArray[np.uint8]) -> pa.Array:
    """Random bytes, shape (rows, 16), as the text of UUIDs."""
    cells = np.full((len(ids), 36), ord("-"), np.uint8)
    cells[:, [place for place in range(36) if place not in _UUID_DASHES]] = _HEX[ids].reshape(len(ids), 32)
    return _column(cells)


def _digits(values: Longs, width: int) -> pa.Array:
    """Numbers with leading zeros."""
    return _column((values[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10 + ord("0")).astype(np.uint8))


def _column(cells: npt.NDArray[np.uint8]) -> pa.Array:
    """A matrix of characters, shape (rows, width), as one binary value per row."""
    rows, width = cells.shape
    return pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(cells.tobytes())]).cast(pa.binary())


def _instants(event_times: Longs) -> tuple[pa.Array, pa.Scalar, pa.Array]:
    """RFC 3339 without its offset: the second, a point, the milliseconds."""
    distinct, places = np.unique(event_times // 1000, return_inverse=True)
    seconds = pa.array(np.datetime_as_string(distinct.astype("datetime64[s]")).astype("S19"), pa.binary())
    return seconds.take(pa.array(places)), pa.scalar(b".", pa.binary()), _MILLIS.take(pa.array(event_times % 1000))


def _decimals(thousandths: Longs) -> pa.Array:
    """Quantities as JSON numbers of at most three decimals: `3`, `0.25`."""
    distinct, places = np.unique(thousandths, return_inverse=True)
    texts = [f"{value / 1000:.3f}".rstrip("0").rstrip(".").encode() for value in distinct.tolist()]
    return pa.array(texts, pa.binary()).take(pa.array(places))
