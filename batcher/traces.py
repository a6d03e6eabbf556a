"""Traces of events through the batch stage: facts → recalculation → publication, site by site.

What is noted is in memory only: a restart between two steps ends a trace, and nothing else.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from batcher.outbox import OutboxRow
from runtime.tracing import OFF, Tracing
from schemas.coefficients import parse_coefficient_key
from schemas.records import Manifest

PER_SITE = 8  # traces that one calculation continues or links to


@dataclass(frozen=True, slots=True)
class _Loaded:
    traceparent: str
    min_event_time: int


class SiteTraces:
    """Which traces the next calculation of a site continues, and which the publication of its results."""

    def __init__(self, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._loaded: dict[str, list[_Loaded]] = {}
        self._calculated: dict[str, str] = {}
        self._deliverable: dict[str, str] = {}
        self._delivered: dict[tuple[str, str], str] = {}

    def loaded(self, manifests: Iterable[Manifest], began_s: float) -> None:
        """Facts of batches are in the database; reading them began at `time.perf_counter()` `began_s`."""
        if not self._tracing.on:
            return
        began_ns = time.time_ns() - int((time.perf_counter() - began_s) * 1e9)
        for manifest in manifests:
            if manifest.traceparent is None:
                continue
            span = self._tracing.start(
                "facts",
                [manifest.traceparent],
                kind="consumer",
                began_ns=began_ns,
                velocity__batch_id=manifest.batch_id,
                velocity__site_id=manifest.site_id,
                velocity__records=manifest.record_count,
            )
            span.end()
            notes = self._loaded.setdefault(manifest.site_id, [])
            if span.traceparent and len(notes) < PER_SITE:
                notes.append(_Loaded(span.traceparent, manifest.min_event_time))

    @contextmanager
    def calculating(self, site_id: str, as_of_ms: int, *, newest: bool) -> Iterator[None]:
        """A calculation, of which what a `newest` one changes is published. It continues traces of facts before it."""
        notes = self._loaded.get(site_id, []) if newest else []
        within = [note for note in notes if note.min_event_time < as_of_ms]
        if not within:
            yield
            return
        parents = [note.traceparent for note in within]
        span = self._tracing.start("recalculation", parents, velocity__site_id=site_id, velocity__as_of_ms=as_of_ms)
        try:
            yield
        finally:
            span.end()
        self._loaded[site_id] = [note for note in notes if note not in within]
        if span.traceparent:
            self._calculated[site_id] = self._deliverable[site_id] = span.traceparent

    @contextmanager
    def publishing(self, rows: Sequence[OutboxRow]) -> Iterator[dict[str, str]]:
        """A transaction of coefficients; yields site → `traceparent` that its records are to carry."""
        if not self._calculated:
            yield {}
            return
        counts: dict[str, int] = {}
        for row in rows:
            site_id = parse_coefficient_key(row.key)[0]
            counts[site_id] = counts.get(site_id, 0) + 1
        sites = [site_id for site_id in counts if site_id in self._calculated]
        spans = {
            site_id: self._tracing.start(
                "publication",
                [self._calculated[site_id]],
                kind="producer",
                velocity__site_id=site_id,
                velocity__coefficients=counts[site_id],
            )
            for site_id in sites
        }
        try:
            yield {site_id: span.traceparent for site_id, span in spans.items() if span.traceparent}
        finally:
            for span in spans.values():
                span.end()

    @contextmanager
    def delivering(self, sink: str, site_id: str) -> Iterator[str | None]:
        """A round of a delivery; yields the `traceparent` that its requests carry. A calculation has one such span for
        each sink, in the first round after it."""
        parent = self._deliverable.get(site_id)
        if parent is None or self._delivered.get((sink, site_id)) == parent:
            yield None
            return
        span = self._tracing.start(
            "delivery", [parent], kind="producer", velocity__site_id=site_id, velocity__sink=sink
        )
        try:
            yield span.traceparent
        finally:
            span.end()
        self._delivered[sink, site_id] = parent

    def calculated(self, home_of: Callable[[str], int], partition: int) -> dict[str, str]:
        """Site → trace of its newest calculation, of sites whose home the partition is, unless it is published."""
        return {site_id: trace for site_id, trace in self._calculated.items() if home_of(site_id) == partition}

    def published(self, calculated: Mapping[str, str]) -> None:
        """Nothing is left to be published of these calculations: what comes next is of other events."""
        for site_id, traceparent in calculated.items():
            if self._calculated.get(site_id) == traceparent:
                del self._calculated[site_id]
