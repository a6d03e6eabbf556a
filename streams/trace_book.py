"""Which traces run through a partition's open windows, so that a batch continues that of an event in it.

A trace is noted with the offset of its event, and continued by the batch that holds that offset. It is found again in
the log when a partition is recovered, so nothing of it is kept elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from runtime.tracing import Span, Tracing, sampled_traceparent
from schemas.records import Manifest
from streams.fetch_lane import Fetch
from streams.snapshot import Arrivals

PER_WINDOW = 8  # traces that one batch continues or links to
MOST_WINDOWS = 1_000
FOUND_PER_FETCH = 8


@dataclass(frozen=True, slots=True)
class Traced:
    """A record of a fetch and the trace that it belongs to."""

    offset: int
    traceparent: str


def traced_records(fetch: Fetch) -> list[Traced]:
    """The first records of a fetch that belong to a recorded trace."""
    found: list[Traced] = []
    for index, headers in fetch.records.headers.items():
        if traceparent := sampled_traceparent(headers):
            found.append(Traced(int(fetch.records.offsets[index]), traceparent))
            if len(found) == FOUND_PER_FETCH:
                break
    return found


class TraceBook:
    """The traces of one partition. Without tracing it is never asked to do anything."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._notes: dict[tuple[str, int], list[Traced]] = {}
        self._batches: list[Span] = []

    @property
    def on(self) -> bool:
        """Whether there is anything to do."""
        return self._tracing.on

    def fetched(self, fetch: Fetch, arrivals: Arrivals, began_ns: int) -> None:
        """A fetch was decoded and admitted: it continues the first trace of its records and links to the others."""
        traced = traced_records(fetch)
        span = self._tracing.start(
            "fetch",
            [one.traceparent for one in traced],
            kind="consumer",
            began_ns=began_ns,
            messaging__system="kafka",
            messaging__destination__name=fetch.topic,
            messaging__destination__partition__id=str(fetch.partition),
            messaging__batch__message_count=len(fetch.records),
            messaging__kafka__offset=fetch.base,
            velocity__dead_letters=len(arrivals.dead_letters),
        )
        span.end()
        if span.traceparent is None:
            return
        rows = arrivals.rows
        offsets = {one.offset for one in traced} or {int(offset) for offset in rows.offsets[:1]}
        for index in np.flatnonzero(np.isin(rows.offsets, list(offsets))):
            site_id, start = rows.site_ids[int(rows.sites[index])], int(rows.starts[index])
            self._note(site_id, start, int(rows.offsets[index]), span.traceparent)

    def _note(self, site_id: str, start: int, offset: int, traceparent: str) -> None:
        notes = self._notes.setdefault((site_id, start), [])
        if len(notes) < PER_WINDOW:
            notes.append(Traced(offset, traceparent))
        while len(self._notes) > MOST_WINDOWS:
            del self._notes[next(iter(self._notes))]

    def batched(self, manifests: Sequence[Manifest], began_ns: int) -> list[Manifest]:
        """Files were written: the manifests, those of traced events with the context of their batch's span."""
        return [self._traced(manifest, began_ns) for manifest in manifests]

    def _traced(self, manifest: Manifest, began_ns: int) -> Manifest:
        notes = [note for window in manifest.windows for note in self._notes.get((manifest.site_id, window.start), ())]
        inside = [note.traceparent for note in notes if manifest.first_offset <= note.offset <= manifest.last_offset]
        if manifest.traceparent or not inside:
            return manifest
        span = self._tracing.start(
            "batch",
            inside,
            kind="producer",
            began_ns=began_ns,
            velocity__batch_id=manifest.batch_id,
            velocity__site_id=manifest.site_id,
            velocity__kind=manifest.kind.value,
            velocity__records=manifest.record_count,
            velocity__bytes=manifest.bytes,
        )
        self._batches.append(span)
        return structs.replace(manifest, traceparent=span.traceparent)

    def committed(self, manifests: Sequence[Manifest]) -> None:
        """The checkpoint that announces them is committed."""
        for span in self._batches:
            span.end()
        self._batches.clear()
        for manifest in manifests:
            for window in manifest.windows:
                self._forget((manifest.site_id, window.start), manifest)

    def _forget(self, key: tuple[str, int], manifest: Manifest) -> None:
        left = [n for n in self._notes.pop(key, ()) if not manifest.first_offset <= n.offset <= manifest.last_offset]
        if left:
            self._notes[key] = left
