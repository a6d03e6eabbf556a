"""Answers of the compute API: a result for each SKU that was asked for, in its order, as JSON."""

from collections.abc import Sequence
from functools import cache

import pyarrow as pa

from batcher.queries import Connection, Query, load_queries, registered
from batcher.runs import Run
from schemas.reference import canonical_sku


def results_of(connection: Connection, run: Run, skus: Sequence[str]) -> str:
    """The results of a run as JSON objects with commas between them: one for each SKU, found in its canonical form.

    One of an SKU that the run does not have is `{"sku": …, "status": "unknown"}`.
    """
    keys = [canonical_sku(sku) for sku in skus]
    asked = pa.table({"place": pa.array(range(len(skus)), pa.int32()), "sku": skus, "key": keys})
    values = {"site_id": run.site_id, "as_of_ms": run.as_of_ms, "horizon": run.horizon}
    with registered(connection, "asked", asked):
        return _query().value(connection, **values, skus=sorted(set(keys)))


@cache
def _query() -> Query:
    """The one query that knows the columns of results, in the one that writes them."""
    results = load_queries("runs")["results"].sql.rstrip(";")
    return Query(load_queries("answers")["results_of"].sql.format(results=results))
