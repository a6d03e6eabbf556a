"""What of the batches topic has been taken: everything below the position but what is pending."""

import msgspec
import pytest

from batcher.batches_log import BatchesLog, check_continues
from batcher.manifests import Announced, ManifestMalformed, Progress, read_manifest
from runtime.partitioning import partition_of
from runtime.refusals import TopicRefused
from schemas.codecs import encode
from schemas.records import BatchKind, ClosedBy, Manifest, Window
from schemas.sources import Source

PARTITIONS = 6
MANIFEST = Manifest(
    batch_id="b",
    source=Source.ORDERS,
    source_topic="orders",
    source_partition=0,
    site_id="A",
    kind=BatchKind.ON_TIME,
    windows=(Window(0, 10),),
    record_count=1,
    first_offset=0,
    last_offset=0,
    min_event_time=1,
    max_event_time=1,
    path="orders/A/b.avro",
    bytes=1,
    sha256="0" * 64,
    schema_fingerprint="0" * 64,
    codec="null",
    block_count=1,
    closed_by=ClosedBy.WATERMARK,
    checkpoint_seq=1,
    settings_hash="h",
    pipeline_version="0",
)
HOME = partition_of("A", PARTITIONS)


def announced(offset: int, site_id: str = "A") -> Announced:
    """A manifest at an offset of partition 0."""
    return Announced(msgspec.structs.replace(MANIFEST, site_id=site_id), 0, offset)


# -- records of the topic ----------------------------------------------------------------------------------------------


def test_a_manifest_is_read_with_its_place() -> None:
    """On the partition that its site's key leads to."""
    found = read_manifest(encode(MANIFEST), HOME, 7, PARTITIONS)
    assert (found.manifest, found.partition, found.offset, found.site_id) == (MANIFEST, HOME, 7, "A")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "is no manifest"),
        (b"", "is no manifest"),
        (b"{}", "missing required field `batch_id`"),
        (encode(msgspec.structs.replace(MANIFEST, path="../../etc/passwd")), "not a path in a batch store"),
    ],
)
def test_a_record_that_is_no_manifest_says_where_it_stands(value: bytes | None, complaint: str) -> None:
    """A person has to find it."""
    with pytest.raises(ManifestMalformed, match=complaint) as caught:
        read_manifest(value, HOME, 7, PARTITIONS)
    assert f"{HOME}/7" in str(caught.value)


def test_a_manifest_on_another_partition_than_its_site_s_is_refused() -> None:
    """Two workers would own the site."""
    with pytest.raises(ManifestMalformed, match=f"belongs on partition {HOME}"):
        read_manifest(encode(MANIFEST), (HOME + 1) % PARTITIONS, 7, PARTITIONS)


# -- progress ----------------------------------------------------------------------------------------------------------


def test_the_next_offset_is_the_first_that_was_not_taken() -> None:
    """
    offset   3 A   5 A   6 B   (8 is the position: a marker took 7)
    taken    ·     ✓     ·     → next 3
    taken    ✓     ✓     ·     → next 6
    """
    progress, found = Progress(3), [announced(3), announced(5), announced(6, "B")]
    progress.announce(found, 8)
    progress.take(found[1])
    assert (progress.next_offset(), progress.pending) == (3, 2)
    progress.take(found[0])
    assert (progress.next_offset(), progress.pending) == (6, 1)
    progress.take(found[2])
    assert (progress.next_offset(), progress.pending) == (8, 0)


def test_what_is_about_to_be_taken_counts_as_taken_in_the_same_transaction() -> None:
    """The offset is stored together with the facts."""
    progress, found = Progress(0), [announced(0), announced(1), announced(2, "B")]
    progress.announce(found, 3)
    assert progress.next_offset(besides={0, 1}) == 2
    assert progress.next_offset(besides={1, 2}) == 0
    assert progress.next_offset() == 0, "asking changes nothing"


def test_each_site_has_its_own_next_offset() -> None:
    """A batch on hold keeps its site back, and nobody else."""
    progress, found = Progress(0), [announced(0), announced(1, "B"), announced(2, "B")]
    progress.announce(found, 3)
    progress.take(found[1])
    assert [progress.next_offset_of(site) for site in "ABC"] == [0, 2, 3]


def test_batches_on_hold_do_not_keep_a_partition_from_catching_up_but_are_never_skipped() -> None:
    """What was loaded behind them is read again after a restart, and known then."""
    progress, found = Progress(0), [announced(0), announced(1, "B")]
    progress.announce(found, 2)
    progress.hold(found[0])
    assert (progress.next_unheld(), progress.next_offset()) == (1, 0)
    progress.take(found[1])
    assert (progress.next_unheld(), progress.next_offset()) == (2, 0)
    progress.take(found[0])
    assert (progress.next_unheld(), progress.next_offset()) == (2, 2)


# -- the log -----------------------------------------------------------------------------------------------------------


def log(start: int = 0, end: int = 10) -> BatchesLog:
    """A topic of one partition."""
    return BatchesLog("batches", "id-1", {0: start}, {0: end})


@pytest.mark.parametrize("offset", [0, 4, 10])
def test_a_database_goes_on_within_the_log(offset: int) -> None:
    """Also a new one, that was filled from no topic yet."""
    check_continues(log(), "id-1", {0: offset})
    check_continues(log(), None, {})


@pytest.mark.parametrize(
    ("found", "known_id", "offsets", "complaint"),
    [
        (log(), "id-0", {0: 4}, "was recreated .* move its database file away"),
        (log(), "id-1", {0: 11}, "ends at 10, but manifests up to 11 were read"),
        (log(start=5), "id-1", {0: 4}, "begins at 5, but this worker needs manifests from 4 on"),
        (log(start=1), None, {}, "needs manifests from 0 on"),
    ],
)
def test_a_log_that_lacks_manifests_is_refused(
    found: BatchesLog, known_id: str | None, offsets: dict[int, int], complaint: str
) -> None:
    """Recreated, truncated, or trimmed beyond what is needed: no later manifest brings those facts back."""
    with pytest.raises(TopicRefused, match=complaint):
        check_continues(found, known_id, offsets)
