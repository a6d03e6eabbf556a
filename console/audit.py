"""Conservation, as far as records of our own topics prove it. Pure.

Per source partition the cumulative counts of its frontier record must add up, and must equal what the manifests, the
dead letters and the open windows say. A problem is anything that breaks this; a note is worth knowing, no more.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from console.evidence import Announced, Evidence, PartitionEvidence
from schemas.records import BatchKind, partition_key


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it must be; `offset` is the first source offset that it touches, where that is known."""

    where: str
    what: str
    offset: int | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Findings:
    """What an examination found."""

    problems: list[Problem] = field(default_factory=list[Problem])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Totals:
    """The frontier records' cumulative counts, added up. `delivered` is the sum of the next four if all is well."""

    delivered: int = 0
    in_batches: int = 0
    in_corrections: int = 0
    dead_lettered: int = 0
    open: int = 0
    gaps: int = 0


def totals(partitions: Iterable[PartitionEvidence]) -> Totals:
    """Sums over source partitions."""
    counts = [(part.frontier.counts, open_records(part)) for part in partitions]
    return Totals(
        delivered=sum(count.delivered for count, _ in counts),
        in_batches=sum(count.batched for count, _ in counts),
        in_corrections=sum(count.corrected for count, _ in counts),
        dead_lettered=sum(count.dead for count, _ in counts),
        open=sum(still_open for _, still_open in counts),
        gaps=sum(count.gap for count, _ in counts),
    )


def open_records(part: PartitionEvidence) -> int:
    """Records in the open windows of a partition."""
    return sum(window.count for window in part.frontier.open_windows)


def records_of_kind(part: PartitionEvidence, kind: BatchKind) -> int:
    """Records that the manifests of a partition announce."""
    return sum(one.manifest.record_count for one in part.announced if one.manifest.kind is kind)


def examine(evidence: Evidence) -> Findings:
    """Everything that can be said without opening a batch file or reading the source."""
    found = Findings(notes=list(evidence.notes))
    found.problems += [Problem(where, why) for where, why in evidence.unreadable.items()]
    found.problems += _lost_manifests(evidence)
    found.problems += _doubled_batches(evidence)
    found.problems += [_stray(one) for one in evidence.strays]
    letters_expired = any(evidence.dead_letter_log_starts.values())
    for part in evidence.partitions:
        found.problems += _count_problems(part)
        _compare_dead_letters(part, letters_expired, found)
        _compare_log(part, found)
    return found


def _lost_manifests(evidence: Evidence) -> Iterator[Problem]:
    for partition, start in sorted(evidence.batch_log_starts.items()):
        if start:
            where = partition_key(evidence.batches_topic, partition)
            what = f"its manifests before offset {start} were removed; the topic must keep them for ever"
            yield Problem(where, f"{what} (`velocity topics plan`)")
    for part in evidence.partitions:
        last: dict[int, int] = {}
        for one in part.announced:
            last[one.partition] = max(last.get(one.partition, -1), one.offset)
        for partition, offset in sorted(part.frontier.manifests.items()):
            if last.get(partition, -1) < offset:
                name = f"{partition_key(evidence.batches_topic, partition)}/{offset}"
                yield Problem(part.key, f"the manifest at {name}, which its frontier record names, is missing")


def _doubled_batches(evidence: Evidence) -> Iterator[Problem]:
    """A batch id or path announced twice; a window closed twice; two corrections of one site in one checkpoint."""
    for part in evidence.partitions:
        seen: dict[tuple[object, ...], Announced] = {}
        for one in part.announced:
            twin = next((seen[key] for key in _identities(one) if key in seen), None)
            if twin is not None:
                yield Problem(part.key, _doubled(evidence, twin, one), one.manifest.first_offset)
            for key in _identities(one):
                seen.setdefault(key, one)


def _identities(one: Announced) -> tuple[tuple[object, ...], ...]:
    manifest = one.manifest
    if manifest.kind is BatchKind.ON_TIME:
        content = ("window", manifest.site_id, manifest.windows[0].start if manifest.windows else None)
    else:
        content = ("corrections", manifest.site_id, manifest.checkpoint_seq)
    return ("id", manifest.batch_id), ("path", manifest.path), content


def _doubled(evidence: Evidence, first: Announced, second: Announced) -> str:
    places = " and ".join(f"{partition_key(evidence.batches_topic, a.partition)}/{a.offset}" for a in (first, second))
    if first.manifest.batch_id == second.manifest.batch_id:
        return f"batch {first.manifest.batch_id} is announced twice, at {places}"
    return (
        f"batch {second.manifest.batch_id} doubles batch {first.manifest.batch_id}: both are "
        f"{_content(first)} (manifests at {places})"
    )


def _content(one: Announced) -> str:
    manifest = one.manifest
    if manifest.kind is BatchKind.ON_TIME and manifest.windows:
        return f"the window [{manifest.windows[0].start}, {manifest.windows[0].end}) of site {manifest.site_id}"
    return f"the {manifest.kind} of site {manifest.site_id} in checkpoint {manifest.checkpoint_seq}"


def _stray(one: Announced) -> Problem:
    manifest = one.manifest
    what = f"batch {manifest.batch_id} is announced for checkpoint {manifest.checkpoint_seq}, which was never committed"
    return Problem(one.source_key, what, manifest.first_offset)


def _count_problems(part: PartitionEvidence) -> Iterator[Problem]:
    counts = part.frontier.counts
    accounted = counts.batched + counts.corrected + counts.dead + open_records(part)
    if counts.delivered != accounted:
        yield Problem(
            part.key, f"its frontier record has {counts.delivered:,} delivered and accounts for {accounted:,}"
        )
    for kind, name, counted in (
        (BatchKind.ON_TIME, "batches", counts.batched),
        (BatchKind.CORRECTION, "corrections", counts.corrected),
    ):
        announced = records_of_kind(part, kind)
        if announced != counted:
            yield Problem(
                part.key,
                f"its frontier record counts {counted:,} records in {name}, its manifests {announced:,}: "
                f"{_surplus(announced - counted)}",
            )


def _surplus(difference: int) -> str:
    return f"{difference:,} too many" if difference > 0 else f"{-difference:,} are missing"


def _compare_dead_letters(part: PartitionEvidence, expired: bool, found: Findings) -> None:
    offsets = part.dead_offsets
    doubled = offsets[1:][offsets[1:] == offsets[:-1]]
    if len(doubled):
        offset = int(doubled[0])
        found.problems.append(Problem(part.key, f"dead letter {part.key}/{offset} is in the topic twice", offset))
    counted, there = part.frontier.counts.dead, len(offsets) - len(doubled)
    if there == counted:
        return
    text = f"its frontier record counts {counted:,} dead letters, the topic has {there:,}"
    if there < counted and expired:
        found.notes.append(f"{part.key}: {text}; older ones have expired")
    else:
        found.problems.append(Problem(part.key, f"{text}: {_surplus(there - counted)}"))


def _compare_log(part: PartitionEvidence, found: Findings) -> None:
    frontier, log = part.frontier, part.log
    found.notes += [
        f"{part.key}: retention removed offsets [{gap.first_offset}, {gap.end_offset}) before they were batched"
        for gap in frontier.gaps
    ]
    if log is None:
        found.notes.append(f"{part.key}: the source topic is gone")
    elif log.topic_id != frontier.topic_id:
        found.notes.append(f"{part.key}: the source topic was recreated, its records cannot be compared any more")
    elif log.end < frontier.position:
        what = f"it was read up to offset {frontier.position}, but the log ends at {log.end}: it was truncated"
        found.problems.append(Problem(part.key, what, log.end))
    elif log.start > frontier.committed and frontier.open_windows:
        found.notes.append(
            f"{part.key}: retention has passed offset {frontier.committed}, which open windows need after a restart"
        )
    if log is not None and log.end > frontier.position and log.topic_id == frontier.topic_id:
        found.notes.append(f"{part.key}: {log.end - frontier.position:,} offsets are not checkpointed yet")


def first_broken(problems: Sequence[Problem]) -> Problem | None:
    """The problem with the lowest source offset of the first partition that has one; else the first of all."""
    placed = [problem for problem in problems if problem.offset is not None]
    by_place = min(placed, key=lambda problem: (problem.where, problem.offset or 0), default=None)
    return by_place or (problems[0] if problems else None)


def by_source(partitions: Iterable[PartitionEvidence]) -> Mapping[str, Totals]:
    """Sums per source topic."""
    groups: dict[str, list[PartitionEvidence]] = defaultdict(list)
    for part in partitions:
        groups[part.frontier.source_topic].append(part)
    return {topic: totals(parts) for topic, parts in groups.items()}
