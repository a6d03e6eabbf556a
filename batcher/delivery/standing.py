"""How all deliveries stand, read in one go: what is due, and what people are shown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batcher.delivery import failed_records, ledger
from batcher.delivery.chunks import Progress, Target
from batcher.delivery.ledger import Published
from batcher.queries import Connection, load_queries

_QUERIES = load_queries("deliveries")
_UNSETTLED = (Progress.PENDING, Progress.SENDING, Progress.DROPPED)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The run that a target has in full."""

    run_id: str
    as_of_ms: int
    at_ms: int


@dataclass(slots=True)
class Standing:
    """`chunks` and `skus` are those of the delivery in hand, by progress."""

    acknowledged: Acknowledged | None = None
    planned_run: str | None = None
    chunks: dict[str, int] = field(default_factory=dict[str, int])
    skus: dict[str, int] = field(default_factory=dict[str, int])
    error: str | None = None

    @property
    def backlog_skus(self) -> int:
        """SKUs of the delivery in hand that are not acknowledged."""
        return sum(count for progress, count in self.skus.items() if progress != Progress.ACKNOWLEDGED)

    @property
    def has_unsettled(self) -> bool:
        """Whether there is something to do with a chunk of the delivery in hand."""
        return any(self.chunks.get(progress) for progress in _UNSETTLED)

    def is_due(self, run_id: str) -> bool:
        """Whether there is anything to do where that run is the published one."""
        return self.planned_run != run_id or self.has_unsettled


@dataclass(frozen=True, slots=True)
class Overview:
    """Of all sinks. `published` are the newest published runs of the sites that were asked for."""

    published: Sequence[Published]
    standings: Mapping[Target, Standing]
    stopped: Mapping[str, str]
    failed: Mapping[str, int]


def read_overview(connection: Connection, site_ids: Sequence[str]) -> Overview:
    """How everything stands now."""
    standings: defaultdict[Target, Standing] = defaultdict(Standing)
    for *where, run_id, as_of_ms, at_ms in _QUERIES["all_acknowledged"].rows(connection):
        standings[Target(*where)].acknowledged = Acknowledged(run_id, as_of_ms, at_ms)
    for *where, run_id, _, _, _ in _QUERIES["all_planned"].rows(connection):
        standings[Target(*where)].planned_run = run_id
    for *where, progress, chunks, skus in _QUERIES["states"].rows(connection):
        standings[Target(*where)].chunks[progress] = chunks
        standings[Target(*where)].skus[progress] = skus
    for *where, error in _QUERIES["errors"].rows(connection):
        standings[Target(*where)].error = error
    return Overview(
        ledger.published(connection, site_ids),
        standings,
        ledger.stopped(connection),
        failed_records.counts(connection),
    )
