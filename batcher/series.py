"""Series: what many facts have in common, so that a fact names it by a number and has no texts of its own."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batcher.codes import SERIES_BITS, distinct
from batcher.queries import Connection, load_queries, registered
from schemas.sources import Source

Numbers = npt.NDArray[np.int64]

#: Fields of events that are told by their series.
TEXTS = ("sku", "uom", "channel")

_QUERIES = load_queries("series")


def tell_apart(source: Source, site_id: str, events: pa.Table) -> tuple[pa.Table, Numbers]:
    """The series of a source's events at a site, each once, and at which place of them each event has its own.

    Columns are site_id, source, sku, uom, channel. Events without channels have null.
    """
    columns = [_encoded(events, name) for name in TEXTS]
    codes = np.zeros(len(events), np.int64)
    for column in columns:
        codes = codes * max(1, len(column.dictionary)) + np.asarray(column.indices)
    rest, places = distinct(codes)
    texts: dict[str, pa.Array] = {}
    for name, column in reversed(list(zip(TEXTS, columns, strict=True))):
        rest, chosen = np.divmod(rest, max(1, len(column.dictionary)))
        texts[name] = column.dictionary.take(pa.array(chosen))
    same = {"site_id": pa.repeat(site_id, len(rest)), "source": pa.repeat(source.value, len(rest))}
    return pa.table(same | texts), places


def _encoded(events: pa.Table, name: str) -> pa.DictionaryArray:
    if name not in events.column_names:
        return pa.nulls(len(events), pa.string()).dictionary_encode("encode")
    return events.column(name).dictionary_encode("encode").combine_chunks()


def number(connection: Connection, told: Sequence[pa.Table]) -> list[Numbers]:
    """The numbers of series, table by table as `tell_apart` gives them; one that is new gets the next of its kind.

    No two tables are of the same site and source.
    """
    everything = pa.concat_tables(told)
    numbers = _look_up(connection, everything)
    parts = np.split(numbers, np.cumsum([len(series) for series in told])[:-1])  # views
    strange = numbers == 0
    if strange.any():
        _number_strangers(connection, told, parts)
        strangers = everything.append_column("series_no", pa.array(numbers)).filter(pa.array(strange))
        with registered(connection, "strangers", strangers):
            _QUERIES["add"].rows(connection)
    return parts


def _look_up(connection: Connection, series: pa.Table) -> Numbers:
    """The numbers of series, 0 for those that have none."""
    numbers = np.zeros(len(series), np.int64)
    with registered(connection, "told_series", series.append_column("place", pa.array(np.arange(len(series))))):
        found = _QUERIES["numbers"].table(connection)
    numbers[np.asarray(found.column("place"))] = np.asarray(found.column("series_no"))
    return numbers


def _number_strangers(connection: Connection, told: Sequence[pa.Table], numbers: Sequence[Numbers]) -> None:
    """Give the series of each table that have none their numbers: behind the last of their site and source.

    All numbers of a site and source have the same upper half; that of a new one is the next.
    """
    last = {(site_id, source): number for site_id, source, number in _QUERIES["last_numbers"].rows(connection)}
    newest = max(last.values(), default=0) >> SERIES_BITS
    for series, nos in zip(told, numbers, strict=True):
        strange = np.flatnonzero(nos == 0)
        if not len(strange):
            continue
        kind = series.column("site_id")[0].as_py(), series.column("source")[0].as_py()
        if kind not in last:
            newest += 1
            last[kind] = newest << SERIES_BITS
        nos[strange] = last[kind] + 1 + np.arange(len(strange))
