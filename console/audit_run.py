"""An audit from start to end: read the evidence, judge it, look at the files, and if deep at every offset."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from console.audit import Findings, Problem, Totals, by_source, examine, first_broken, records_of_kind, totals
from console.audit_deep import IdTally, PartitionAudit
from console.audit_files import Checked, check_files, file_problem
from console.audit_trail import Trail, examine_trail
from console.batch_content import BatchContent, BatchUnreadable, contradictions, read_content
from console.evidence import Announced, Evidence, Offsets, PartitionEvidence
from console.gather import gather_evidence
from console.orphans import Listing, find_orphans
from console.progress import Meter
from console.source_offsets import delivered_offsets
from runtime.settings import Settings
from runtime.store import BatchMissing, BatchStore, open_store
from schemas.records import BatchKind


@dataclass(slots=True)
class AuditReport:
    """The verdict. It is complete if there is no problem and no gap."""

    totals: Totals
    by_source: dict[str, Totals]
    findings: Findings
    partitions: int
    batches: int
    deep: bool
    trail: Trail = field(default_factory=Trail)
    ids_counted_twice: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every delivered record is accounted for."""
        return not self.findings.problems and not self.totals.gaps

    def as_json(self) -> dict[str, object]:
        """The stable shape of `audit --json`."""
        broken = first_broken(self.findings.problems)
        return {
            "complete": self.complete,
            **asdict(self.totals),
            "problems": [str(problem) for problem in self.findings.problems],
            "first_broken": None if broken is None else asdict(broken),
            "notes": self.findings.notes,
            "deep": self.deep,
            "partitions": self.partitions,
            "batches": self.batches,
            "ids_counted_twice": self.ids_counted_twice,
            "audit_log": self.trail.as_json(),
        }


def audit(settings: Settings, *, deep: bool = False, noted_head: str | None = None) -> AuditReport:
    """Prove that nothing was lost, or say what was; and that the audit log is as it was written. Blocks.

    `noted_head` is an earlier end of the audit log, which must still be in it.

    Raises:
        StoreUnavailable: the store is out of reach: nothing can be said.
        KafkaError, KafkaException: the brokers do not answer.
    """
    store = open_store(settings.store)
    evidence = asyncio.run(gather_evidence(settings))
    found = examine(evidence)
    trail = asyncio.run(examine_trail(settings, noted_head))
    found.problems += trail.problems()
    _look_for_orphans(settings, store, evidence, found)
    ids = _Deep(settings, store, evidence, found).run() if deep else _check_all(store, evidence, found)
    return AuditReport(
        totals=totals(evidence.partitions),
        by_source=dict(by_source(evidence.partitions)),
        findings=found,
        partitions=len(evidence.partitions),
        batches=sum(len(part.announced) for part in evidence.partitions),
        deep=deep,
        trail=trail,
        ids_counted_twice=ids,
    )


def _look_for_orphans(settings: Settings, store: BatchStore, evidence: Evidence, found: Findings) -> None:
    """A file that no manifest names is harmless, unless its partition lacks records: then its manifest was removed."""
    parts = {part.key: part for part in evidence.partitions}
    announced = {one.manifest.path for part in evidence.partitions for one in part.announced}
    announced |= {one.manifest.path for one in evidence.strays}
    if not announced:
        return  # the store need not be there yet
    listing: Listing = find_orphans(store.list(), announced, settings.topics.source_topic)
    frontiers = {key: part.frontier for key, part in parts.items()}
    settled = [orphan for orphan in listing.orphans if orphan.is_settled(frontiers)]
    for orphan in settled:
        if _lacks_records(parts[orphan.source_key]):
            what = f"no manifest names the file {orphan.path} of checkpoint {orphan.checkpoint_seq}: it was removed"
            found.problems.append(Problem(orphan.source_key, what, orphan.first_offset))
    harmless = sum(not _lacks_records(parts[orphan.source_key]) for orphan in settled)
    if harmless:
        found.notes.append(f"{harmless:,} files in the store are named by no manifest; `velocity gc` removes them")


def _lacks_records(part: PartitionEvidence) -> bool:
    counts = part.frontier.counts
    return (
        records_of_kind(part, BatchKind.ON_TIME) < counts.batched
        or records_of_kind(part, BatchKind.CORRECTION) < counts.corrected
    )


def _distinct_files(part: PartitionEvidence) -> list[Announced]:
    """One manifest per path: a batch announced twice is a problem of its own."""
    return list({one.manifest.path: one for one in reversed(part.announced)}.values())[::-1]


def _check_all(store: BatchStore, evidence: Evidence, found: Findings) -> None:
    announced = [one for part in evidence.partitions for one in _distinct_files(part)]
    with Meter("checking files", total=sum(one.manifest.bytes for one in announced) or None, unit="files") as meter:
        for checked in check_files(store, announced):
            problem = checked.problem()
            if problem:
                found.problems.append(problem)
            meter.advance(1, checked.announced.manifest.bytes)


class _Deep:
    """The deep part: one source partition after another."""

    def __init__(self, settings: Settings, store: BatchStore, evidence: Evidence, found: Findings) -> None:
        self._settings, self._store, self._evidence, self._found = settings, store, evidence, found
        self._ids = IdTally()

    def run(self) -> int:
        """Returns how many ids were counted twice."""
        total = sum(one.manifest.record_count for part in self._evidence.partitions for one in _distinct_files(part))
        total += sum(part.frontier.counts.delivered for part in self._evidence.partitions)
        with Meter("records in files and in the source", total=total or None) as meter:
            for part in self._evidence.partitions:
                audit = PartitionAudit(part)
                self._read_files(audit, meter)
                self._compare(audit, meter)
                self._found.problems += audit.problems
                self._found.notes += audit.notes
        return self._ids.counted_twice()

    def _read_files(self, audit: PartitionAudit, meter: Meter) -> None:
        for checked in check_files(self._store, _distinct_files(audit.part), keep=True):
            content = self._content(checked, audit)
            if content is not None:
                twice = audit.enter(checked.announced, content)
                if len(twice):
                    audit.report_doubled(checked.announced, twice, self._holder(audit, twice))
                self._ids.add(checked.announced, content)
            meter.advance(checked.announced.manifest.record_count)

    def _content(self, checked: Checked, audit: PartitionAudit) -> BatchContent | None:
        problem = checked.problem()
        if problem is None:
            try:
                content = read_content(checked.data)
            except BatchUnreadable as error:
                problem = file_problem(checked.announced, f"is not a batch: {error}")
            else:
                wrong = contradictions(checked.announced.manifest, content)
                self._found.problems += [file_problem(checked.announced, f"differs: {what}") for what in wrong]
                return content
        self._found.problems.append(problem)
        audit.enter_unread(checked.announced)
        return None

    def _holder(self, audit: PartitionAudit, twice: Offsets) -> str:
        """What else holds the first of these offsets."""
        offset = int(twice[0])
        for one in audit.candidates(offset)[:-1]:
            try:
                if offset in read_content(self._store.read(one.manifest.path)).offsets:
                    return f"batch {one.manifest.batch_id}"
            except (BatchUnreadable, BatchMissing):
                continue
        return f"dead letter {audit.part.key}/{offset}"

    def _compare(self, audit: PartitionAudit, meter: Meter) -> None:
        frontier, (start, end) = audit.part.frontier, audit.retained
        topic, partition = frontier.source_topic, frontier.source_partition
        audit.compare(_metered(delivered_offsets(self._settings.kafka, topic, partition, start, end), meter))


def _metered(portions: Iterator[Offsets], meter: Meter) -> Iterator[Offsets]:
    for offsets in portions:
        meter.advance(len(offsets))
        yield offsets
