"""The audit's pure parts: counts against evidence, offsets against claims, files against manifests, leftovers."""

from collections.abc import Sequence
from io import BytesIO

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from console.audit import Findings, Problem, Totals, examine, first_broken, totals
from console.audit_deep import IdTally, PartitionAudit
from console.audit_run import AuditReport
from console.batch_content import BatchContent, BatchUnreadable, contradictions, read_content
from console.evidence import Announced, Evidence, PartitionEvidence, SourceLog
from console.offset_ledger import Claim, OffsetLedger, odd_one_out, outside
from console.orphans import find_orphans
from schemas.codecs import avro_schema, schema_fingerprint
from schemas.offsets import hash_text, offsets_hash
from schemas.records import BatchKind, ClosedBy, Counts, Frontier, Gap, Manifest, OpenWindow, Window
from schemas.sources import Source
from streams.batch_file import BatchName

HOUR = 3_600_000
KEY = "o/0"


def manifest(batch_id: str, offsets: Sequence[int], *, window: int = 0, seq: int = 1, **changes: object) -> Manifest:
    """An on-time batch of site S with these offsets, in the window that starts at this hour."""
    told = Manifest(
        batch_id=batch_id,
        source=Source.ORDERS,
        source_topic="o",
        source_partition=0,
        site_id="S",
        kind=BatchKind.ON_TIME,
        windows=(Window(window * HOUR, (window + 1) * HOUR),),
        record_count=len(offsets),
        first_offset=min(offsets),
        last_offset=max(offsets),
        min_event_time=window * HOUR,
        max_event_time=window * HOUR,
        path=f"{batch_id}.avro",
        bytes=1,
        sha256="0",
        schema_fingerprint="f",
        codec="null",
        block_count=1,
        closed_by=ClosedBy.WATERMARK,
        checkpoint_seq=seq,
        settings_hash="h",
        pipeline_version="0",
    )
    return structs.replace(told, **changes)


def content(offsets: Sequence[int], *, window: int = 0) -> BatchContent:
    """What a file with these offsets holds."""
    found = BatchContent("f", "null", 1, np.array(offsets, np.int64), np.array(offsets, np.int64), {"S"}, {0})
    found.windows = {window * HOUR: (window * HOUR, window * HOUR)}
    return found


def evidence(
    announced: Sequence[Announced] = (),
    *,
    dead: Sequence[int] = (),
    still_open: Sequence[int] = (),
    position: int = 100,
    counts: Counts | None = None,
    log: SourceLog | None = None,
    **frontier: object,
) -> PartitionEvidence:
    """A partition whose frontier record counts exactly this, unless told otherwise."""
    of_kind = {kind: sum(a.manifest.record_count for a in announced if a.manifest.kind is kind) for kind in BatchKind}
    batched, corrected = of_kind[BatchKind.ON_TIME], of_kind[BatchKind.CORRECTION]
    delivered = batched + corrected + len(dead) + len(still_open)
    hash_of_open = hash_text(offsets_hash(np.array(still_open, np.int64)))
    open_window = OpenWindow(
        site_id="S",
        start=0,
        end=HOUR,
        first_offset=min(still_open, default=0),
        count=len(still_open),
        offsets_hash=hash_of_open,
    )
    record = Frontier(
        source=Source.ORDERS,
        source_topic="o",
        source_partition=0,
        topic_id="t",
        checkpoint_seq=5,
        position=position,
        frontier=0,
        max_event_time=0,
        committed=min(still_open, default=position),
        settings_hash="h",
        manifests={a.partition: max(b.offset for b in announced if b.partition == a.partition) for a in announced},
        open_windows=(open_window,) if still_open else (),
        counts=counts or Counts(delivered=delivered, batched=batched, corrected=corrected, dead=len(dead)),
        worker_id="w",
        pipeline_version="0",
        checkpoint_at=0,
    )
    record = structs.replace(record, **frontier)
    return PartitionEvidence(record, tuple(announced), np.array(dead, np.int64), log or SourceLog(0, position, "t"))


def place(*manifests: Manifest) -> list[Announced]:
    """Manifests one after the other in partition 0 of the batches topic."""
    return [Announced(one, 0, offset) for offset, one in enumerate(manifests)]


def said(*parts: PartitionEvidence, **more: object) -> list[str]:
    """The problems of an examination."""
    found = examine(Evidence(parts, batches_topic="b", **more))  # type: ignore[arg-type]
    return [str(problem) for problem in found.problems]


# -- counts against evidence -----------------------------------------------------------------------------------------


def test_evidence_that_agrees_has_no_problem_and_adds_up() -> None:
    """Delivered is the sum of batches, corrections, dead letters and open windows."""
    late = manifest("B", [5], kind=BatchKind.CORRECTION)
    part = evidence(place(manifest("A", [0, 1]), late), dead=[2], still_open=[3, 4])
    assert said(part) == []
    summed = totals([part, part])
    assert (summed.delivered, summed.in_batches, summed.in_corrections) == (12, 4, 2)
    assert (summed.dead_lettered, summed.open, summed.gaps) == (2, 4, 0)


def test_every_count_that_disagrees_is_said() -> None:
    """The record with itself, with the manifests, with the dead letters."""
    counts = Counts(delivered=9, batched=5, corrected=0, dead=0)
    part = evidence(place(manifest("A", [0, 1])), dead=[2], counts=counts)
    assert said(part) == [
        "o/0: its frontier record has 9 delivered and accounts for 5",
        "o/0: its frontier record counts 5 records in batches, its manifests 2: 3 are missing",
        "o/0: its frontier record counts 0 dead letters, the topic has 1: 1 too many",
    ]


def test_dead_letters_may_expire_but_not_vanish() -> None:
    """Fewer than counted is a note once the topic has lost its beginning, a problem before."""
    counts = Counts(delivered=3, dead=3)
    assert len(said(evidence(dead=[1, 2], counts=counts))) == 1
    assert said(evidence(dead=[1, 2], counts=counts), dead_letter_log_starts={0: 0, 1: 7}) == []
    twice = said(evidence(dead=[1, 2, 2], counts=counts))
    assert "dead letter o/0/2 is in the topic twice" in twice[0]


def test_a_manifest_that_the_frontier_names_and_nobody_finds_is_named() -> None:
    """By partition and offset of the batches topic; a topic that lost its beginning is a problem of its own."""
    part = evidence(place(manifest("A", [0])), manifests={0: 4, 3: 1})
    problems = said(part, batch_log_starts={3: 2})
    assert "b/3: its manifests before offset 2 were removed" in problems[0]
    assert "the manifest at b/0/4, which its frontier record names, is missing" in problems[1]
    assert "b/3/1" in problems[2]


def test_a_record_of_the_batches_topic_that_is_no_manifest_is_a_problem() -> None:
    """What it was meant to announce is not known."""
    assert said(evidence(), unreadable={"b/0/7": "b/0/7 is no Manifest: x"}) == ["b/0/7: b/0/7 is no Manifest: x"]


def test_a_batch_is_doubled_by_id_by_path_by_window_and_by_checkpoint() -> None:
    """Whatever a copy keeps of the original gives it away; other windows and checkpoints are no copies."""
    original = manifest("A", [0, 1])
    for copy in (
        structs.replace(original, checkpoint_seq=2),
        manifest("B", [0, 1], path="A.avro", window=1),
        manifest("B", [0, 1], seq=2),
    ):
        problems = said(evidence(place(original, copy)))
        assert len(problems) == 1, problems
    late = manifest("C", [7], kind=BatchKind.CORRECTION)
    others = (manifest("D", [2], window=1), late, structs.replace(late, batch_id="E", path="E.avro", checkpoint_seq=2))
    assert said(evidence(place(original, *others))) == []
    assert (
        "the correction of site S in checkpoint 1"
        in said(evidence(place(late, structs.replace(late, batch_id="E", path="E.avro"))))[0]
    )


def test_gaps_recreated_and_truncated_sources_are_told_apart() -> None:
    """A gap and a new topic are notes (a gap keeps the audit from being complete); a shorter log is a problem."""
    gap = evidence(counts=Counts(gap=7), gaps=(Gap(3, 10),))
    found = examine(Evidence((gap,)))
    assert (found.problems, totals([gap]).gaps) == ([], 7)
    assert "retention removed offsets [3, 10)" in found.notes[0]
    recreated = examine(Evidence((evidence(log=SourceLog(0, 5, "other")),)))
    assert (recreated.problems, "recreated" in recreated.notes[0]) == ([], True)
    (truncated,) = examine(Evidence((evidence(log=SourceLog(0, 5, "t")),))).problems
    assert (truncated.offset, "truncated" in truncated.what) == (5, True)


def test_an_audit_with_a_problem_or_a_gap_is_not_complete() -> None:
    """Both keep the exit code from being 0; a note does not."""
    notes, problem = Findings(notes=["n"]), Findings(problems=[Problem("o/0", "x", 7)])
    assert AuditReport(Totals(delivered=1, open=1), {}, notes, 1, 0, deep=True).complete
    assert not AuditReport(Totals(gaps=1), {}, notes, 1, 0, deep=True).complete
    broken = AuditReport(Totals(), {}, problem, 1, 0, deep=True)
    assert not broken.complete
    assert broken.as_json()["first_broken"] == {"where": "o/0", "what": "x", "offset": 7}


def test_the_first_broken_offset_is_the_lowest_of_the_first_partition() -> None:
    """Problems without an offset come after all others."""
    problems = [Problem("b/1", "x", 3), Problem("a/0", "x", 9), Problem("a/0", "y", 4), Problem("a/0", "z")]
    assert first_broken(problems) == problems[2]
    assert first_broken(problems[3:]) == problems[3]
    assert first_broken([]) is None


# -- offsets against claims --------------------------------------------------------------------------------------------


def deep(
    part: PartitionEvidence,
    files: Sequence[tuple[Announced, Sequence[int]]],
    delivered: Sequence[int],
    unread: Sequence[Announced] = (),
) -> list[Problem]:
    """The problems of a deep audit of one partition."""
    audit = PartitionAudit(part)
    for announced, offsets in files:
        twice = audit.enter(announced, content(offsets))
        if len(twice):
            audit.report_doubled(announced, twice, "something else")
    for announced in unread:
        audit.enter_unread(announced)
    audit.compare([np.array(part, np.int64) for part in np.array_split(np.array(delivered, np.int64), 3)])
    return audit.problems


@given(st.data())
def test_every_offset_in_exactly_one_place_is_proved_and_one_misplaced_offset_is_named(data: st.DataObject) -> None:
    """Offsets dealt to two batches, a correction, dead letters, open windows: sound. Then one is lost or doubled."""
    offsets = data.draw(st.lists(st.integers(0, 60), min_size=6, unique=True).map(sorted))
    places = data.draw(st.lists(st.integers(0, 4), min_size=len(offsets), max_size=len(offsets)))
    dealt = [[o for o, at in zip(offsets, places, strict=True) if at == place] for place in range(5)]
    kinds = (BatchKind.ON_TIME, BatchKind.ON_TIME, BatchKind.CORRECTION)
    batches = [
        (manifest(str(n), own, window=n, kind=kind), own)
        for n, (own, kind) in enumerate(zip(dealt[:3], kinds, strict=True))
        if own
    ]
    announced = place(*(told for told, _ in batches))
    part = evidence(announced, dead=dealt[3], still_open=dealt[4], position=61)
    files = list(zip(announced, (own for _, own in batches), strict=True))
    assert deep(part, files, offsets) == []
    if not files:
        return
    spoilt = data.draw(st.integers(0, len(files) - 1))
    holder, own = files[spoilt]
    victim = data.draw(st.sampled_from(own))
    files[spoilt] = holder, [offset for offset in own if offset != victim]
    (lost,) = deep(part, files, offsets)
    assert lost.offset == victim
    others = [offset for offset in offsets if offset not in own and offset not in dealt[4]]
    if others:
        double = data.draw(st.sampled_from(others))
        files[spoilt] = holder, [*own, double]
        assert [problem.offset for problem in deep(part, files, offsets)] == [double]


def test_offsets_of_a_file_that_cannot_be_read_are_blamed_on_the_file_alone() -> None:
    """The file is a problem of its own; what lies beyond its range is still named."""
    announced = place(manifest("A", [0, 1, 2]), manifest("B", [10, 11]))
    part = evidence(announced, still_open=[20])
    files, unread = [(announced[1], [10, 11])], [announced[0]]
    assert deep(part, files, [0, 1, 2, 10, 11, 20], unread) == []
    (problem,) = deep(part, files, [0, 1, 2, 5, 10, 11, 20], unread)
    assert (problem.offset, "offset 5 was delivered" in problem.what) == (5, True)


def test_phantoms_strays_and_wrong_windows_are_named() -> None:
    """A batched offset that the source never delivered; one beyond the position; open windows that do not fit."""
    announced = place(manifest("A", [0, 1]))
    (phantom,) = deep(evidence(announced), [(announced[0], [0, 1])], [0])
    assert "offset 1 was batched, but the source has no such record" in phantom.what
    beyond = deep(evidence(announced, position=1), [(announced[0], [0, 1])], [0])
    assert "holds offset 1, which the checkpoint had not reached" in beyond[0].what
    (swapped,) = deep(evidence(still_open=[3, 5]), [], [3, 4])
    assert "are not those that were in them" in swapped.what
    (fewer,) = deep(evidence(still_open=[3, 5]), [], [3])
    assert "count 1 records more than the source delivers" in fewer.what
    (more,) = deep(evidence(still_open=[3, 5]), [], [3, 4, 5, 6])
    assert "2 of the 4 offsets from 3 to 6" in more.what


@pytest.mark.parametrize("delivered", [(), (51,), (51, 52)])
def test_the_source_may_have_removed_what_expired_dead_letters_are_of(delivered: tuple[int, ...]) -> None:
    """Two of three letters have expired; the source begins at 50 and still delivers neither, one or both offsets."""
    batched, log = list(range(53, 60)), SourceLog(50, 63, "t")
    announced = place(manifest("A", batched))
    for still_open in ((), (61, 62)):
        counts = Counts(delivered=10 + len(still_open), batched=7, dead=3)
        part = evidence(announced, dead=[60], still_open=still_open, position=63, counts=counts, log=log)
        assert deep(part, [(announced[0], batched)], [*delivered, *batched, 60, *still_open]) == []


def test_what_is_lost_is_not_taken_for_expired_dead_letters() -> None:
    """Beyond as many as have expired an offset is lost; open windows must still be whole, and be themselves."""
    announced, log = place(manifest("A", [53, 54])), SourceLog(50, 63, "t")
    counts = Counts(delivered=5, batched=2, dead=1)
    part = evidence(announced, still_open=(61, 62), position=63, counts=counts, log=log)
    files = [(announced[0], [53, 54])]
    (lost,) = deep(part, files, [50, 51, 53, 54, 61, 62])
    assert (lost.offset, "offset 50 was delivered and is in no batch" in lost.what) == (50, True)
    (fewer,) = deep(part, files, [53, 54, 61])
    assert "count 1 records more than the source delivers" in fewer.what
    (swapped,) = deep(part, files, [53, 54, 60, 61])
    assert (swapped.offset, "offset 60 was delivered" in swapped.what) == (60, True)
    (kept,) = deep(evidence(dead=[], counts=Counts(delivered=1, dead=1), position=63), [], [])
    assert "count 1 records more" in kept.what, "the source has removed nothing, so it must still deliver that one"


def test_nothing_is_held_against_a_source_that_is_not_retained() -> None:
    """Recreated, gone, or open windows that began before the log's start: said in a note, no problem."""
    for log in (SourceLog(0, 100, "other"), SourceLog(4, 100, "t")):
        audit = PartitionAudit(evidence(still_open=[3, 5], log=log))
        audit.compare([np.array([5])] if log.start else [])
        assert (audit.problems, len(audit.notes)) == ([], 1)


@given(st.sets(st.integers(0, 50)), st.sets(st.integers(0, 50)), st.integers(0, 50))
def test_the_ledger_knows_what_was_claimed_and_delivered(claimed: set[int], delivered: set[int], start: int) -> None:
    """Unclaimed = delivered but claimed by nobody; never delivered = claimed, but not delivered."""

    def ascending(offsets: set[int]) -> np.ndarray:
        return np.array(sorted(offsets), np.int64)

    ledger = OffsetLedger(0, 51)
    assert not len(ledger.enter(ascending(claimed), Claim.BATCH)[0])
    assert ledger.deliver(ascending(delivered)).tolist() == sorted(delivered - claimed)
    wanted = [offset for offset in sorted(claimed - delivered) if offset >= start]
    assert ledger.never_delivered(start).tolist() == wanted
    assert ledger.claimed(Claim.BATCH) == len(claimed)
    ranges = [(start, start + 5)]
    assert outside(ascending(claimed), ranges).tolist() == [o for o in sorted(claimed) if not start <= o <= start + 5]


@given(st.sets(st.integers(0, 10**12), min_size=2, max_size=40), st.data())
def test_the_hash_tells_which_offset_is_one_too_many(offsets: set[int], data: st.DataObject) -> None:
    """Hashes of sets subtract, so what is left over is the hash of the odd one."""
    odd = data.draw(st.sampled_from(sorted(offsets)))
    rest = np.array(sorted(offsets - {odd}), np.int64)
    assert odd_one_out(np.array(sorted(offsets), np.int64), offsets_hash(rest)) == odd


def test_ids_are_counted_twice_within_source_and_site_only() -> None:
    """Both sites may count from one."""
    tally = IdTally()
    for batch, site in ((manifest("A", [1, 2]), "S"), (manifest("B", [2, 3]), "S"), (manifest("C", [2]), "T")):
        offsets = [batch.first_offset, batch.last_offset]
        tally.add(Announced(structs.replace(batch, site_id=site), 0, 0), content(offsets[: batch.record_count]))
    assert tally.counted_twice() == 1


# -- files against manifests -------------------------------------------------------------------------------------------


def avro(rows: Sequence[tuple[int, int]], *, codec: str = "deflate") -> bytes:
    """A file of orders of site S in one block, given as offset and event time."""
    records = [
        {
            "event_id": f"e{offset}",
            "site_id": "S",
            "sku": "A",
            "event_time": at,
            "quantity": 1.0,
            "uom": "EA",
            "order_id": "o",
            "line": 1,
            "channel": None,
            "promo_id": None,
            "source_partition": 0,
            "source_offset": offset,
            "window_start": 0,
        }
        for offset, at in rows
    ]
    file = BytesIO()
    fastavro.writer(file, avro_schema("order_batch"), records, codec=codec)
    return file.getvalue()


def told(**changes: object) -> Manifest:
    """What is true of `avro([(3, 10), (9, 20)])`."""
    fingerprint = schema_fingerprint("order_batch")
    truth = manifest("A", [3, 9], codec="deflate", schema_fingerprint=fingerprint, min_event_time=10, max_event_time=20)
    return structs.replace(truth, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"codec": "null"}, "codec: the manifest says null, the file deflate"),
        ({"record_count": 3}, "records: the manifest says 3, the file 2"),
        ({"first_offset": 2}, "first and last offset: the manifest says (2, 9), the file (3, 9)"),
        ({"site_id": "T"}, "sites: the manifest says {'T'}, the file {'S'}"),
        ({"source_partition": 1}, "source partitions: the manifest says {1}, the file {0}"),
        ({"block_count": 2}, "blocks: the manifest says 2, the file 1"),
        ({"schema_fingerprint": "f"}, "schema fingerprint"),
        ({"min_event_time": 9}, "events lie in [10, 20], not [9, 20]"),
        ({"windows": (Window(0, 15),)}, "events of [10, 20] are filed under the window [0, 15)"),
        ({"windows": (Window(0, HOUR), Window(HOUR, 2 * HOUR))}, "an on-time batch has one window, not 2"),
    ],
)
def test_a_file_is_what_its_manifest_says_or_the_difference_is_named(changes: dict[str, object], words: str) -> None:
    """Each figure of a manifest is held against the decoded file."""
    found = list(contradictions(told(**changes), read_content(avro([(3, 10), (9, 20)]))))
    assert bool(found) == bool(words)
    assert not words or any(words in difference for difference in found)


def test_an_offset_twice_in_a_file_and_a_file_that_is_no_avro_are_named() -> None:
    """Whatever fastavro stumbles over is one kind of error."""
    doubled = list(contradictions(told(), read_content(avro([(3, 10), (3, 12), (9, 20)]))))
    assert "it holds an offset twice" in doubled
    for data in (b"", b"Obj\x01", b"hello", avro([(3, 10)])[:-20]):
        with pytest.raises(BatchUnreadable):
            read_content(data)


# -- leftovers ---------------------------------------------------------------------------------------------------------


def test_a_leftover_is_settled_once_its_checkpoint_number_is_committed() -> None:
    """Of this source partition; strangers among the files are told apart."""
    name = BatchName(Source.ORDERS, "S", 0, 0, 5, 0, 9, "0" * 8)
    later = BatchName(Source.ORDERS, "S", None, 0, 6, 0, 9, "0" * 8)
    elsewhere = BatchName(Source.ORDERS, "S", 0, 3, 1, 0, 9, "0" * 8)
    files = [(name.path, 10), (later.path, 20), (elsewhere.path, 30), ("notes.txt", 1), ("known.avro", 1)]
    listing = find_orphans(files, {"known.avro"}, lambda source: "o")
    frontiers = {KEY: evidence().frontier}
    assert [orphan.is_settled(frontiers) for orphan in listing.orphans] == [True, False, False]
    assert listing.foreign == ("notes.txt",)
