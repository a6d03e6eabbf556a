"""The contract of every batch store, held against a directory and a bucket (moto: a real S3 API on loopback)."""

import errno
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from runtime.refusals import SettingsRefused
from runtime.settings import StoreSettings
from runtime.spool import Spool
from runtime.store import (
    ADVICE,
    BatchDamaged,
    BatchMissing,
    BatchStore,
    PathTaken,
    SpoolLost,
    StoredFile,
    StoreUnavailable,
    open_store,
)

WORKER = "stream-0"
PATH = "orders/UK-DC1/2011-05/a.avro"
KIB = bytes(range(256)) * 4


@dataclass(frozen=True)
class Place:
    """Where a store keeps its things: `url`, and the folder its temporary files are in."""

    url: str
    spool_dir: Path

    def open(self, min_free_bytes: int = 0) -> BatchStore:
        return open_store(StoreSettings(url=self.url), min_free_bytes=min_free_bytes, spool_dir=self.spool_dir)

    def temporary_files(self) -> list[Path]:
        return [file for file in self.spool_dir.rglob("*") if file.is_file()]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Endpoint of an S3 API with a bucket called `batches`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys).create_bucket(Bucket="batches")
    yield endpoint
    server.stop()


@pytest.fixture
def directory(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "store"), tmp_path / "store" / ".tmp")


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    settings = {"ENDPOINT_URL": request.getfixturevalue("s3"), "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    for name, value in {**settings, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Place(f"s3://batches/{tmp_path.name}", tmp_path / "spool")


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture
def store(place: Place) -> BatchStore:
    return place.open()


def spooled(store: BatchStore, *blocks: bytes, worker: str = WORKER) -> Spool:
    """A spool with some blocks."""
    spool = store.spool(worker, "orders-0")
    for block in blocks:
        spool.append(block)
    return spool


def put(store: BatchStore, path: str, data: bytes) -> StoredFile:
    return spooled(store, data).finish(path)


# Writing and reading


def test_a_finished_file_is_its_blocks_one_after_another(store: BatchStore) -> None:
    """And what `finish` says of it is true."""
    stored = spooled(store, b"head", KIB, b"", b"tail").finish(PATH)
    content = b"head" + KIB + b"tail"
    assert stored == StoredFile(PATH, len(content), hashlib.sha256(content).hexdigest())
    assert store.read(PATH) == store.read_verified(stored) == content
    assert store.size(PATH) == len(content)
    assert store.sha256_of(PATH) == stored.sha256
    assert store.exists(PATH)
    with store.open(PATH) as file:
        file.seek(4)
        assert file.read(1024) == KIB


def test_a_spool_knows_its_hash_before_it_has_a_name(store: BatchStore) -> None:
    """The name of a batch file contains it."""
    spool = spooled(store, b"head", b"tail")
    assert (spool.bytes, spool.sha256) == (8, hashlib.sha256(b"headtail").hexdigest())


def test_nothing_is_seen_of_a_file_until_it_is_finished(place: Place, store: BatchStore) -> None:
    """No final name, nothing in the list; afterwards no temporary file."""
    spool = spooled(store, KIB)
    assert place.temporary_files()
    assert not store.exists(PATH)
    assert list(store.list()) == []
    spool.finish(PATH)
    assert list(store.list()) == [(PATH, 1024)]
    assert place.temporary_files() == []


def test_files_are_listed_in_the_order_of_their_paths(store: BatchStore) -> None:
    """As text, the same for a directory as for a bucket, although `-` sorts before `/`."""
    paths = ["orders/a-b/x.avro", "orders/a/x.avro", "orders/a/y.avro", "orders/a.avro", "returns/A/z.avro"]
    for path in paths:
        put(store, path, path.encode())
    assert list(store.list()) == [(path, len(path)) for path in sorted(paths)]


def test_a_deleted_file_is_gone_and_deleting_it_again_is_no_error(store: BatchStore) -> None:
    """`gc` may be interrupted and run again."""
    put(store, PATH, KIB)
    store.delete(PATH)
    store.delete(PATH)
    assert not store.exists(PATH)
    assert list(store.list()) == []


def test_a_missing_file_is_told_from_a_missing_store(store: BatchStore) -> None:
    """A file that a manifest names and nobody has is damage."""
    put(store, PATH, KIB)
    for access in (store.read, store.open, store.size, store.sha256_of):
        for path in ("orders/none.avro", f"{PATH}/below", "orders/UK-DC1"):
            with pytest.raises(BatchMissing):
                access(path)
    with pytest.raises(BatchMissing):
        store.read_verified(StoredFile("orders/none.avro", 4, ""))


def test_a_file_that_is_not_what_its_manifest_says_is_damaged(store: BatchStore) -> None:
    """Whether by its size or by one flipped bit."""
    stored = put(store, PATH, KIB)
    store.delete(PATH)
    put(store, PATH, KIB[:-1])
    with pytest.raises(BatchDamaged, match="1023 bytes; its manifest says 1024"):
        store.read_verified(stored)
    store.delete(PATH)
    put(store, PATH, KIB[:-1] + b"\x00")
    with pytest.raises(BatchDamaged, match=stored.sha256):
        store.read_verified(stored)


@pytest.mark.parametrize(
    "path", ["../x", "a/../x", "/etc/passwd", "a//x", "./x", "", "a/", ".tmp/w/x", "a\\x", "a\x00", "a\nb", "x" * 256]
)
def test_a_path_cannot_lead_out_of_the_store(store: BatchStore, path: str) -> None:
    """Paths come from manifests, and a manifest may be forged."""
    for access in (store.read, store.open, store.size, store.exists, store.delete, spooled(store, KIB).finish):
        with pytest.raises(ValueError, match="not a path"):
            access(path)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b"])
def test_a_worker_or_spool_is_one_plain_name(store: BatchStore, name: str) -> None:
    """So a worker sweeps its own folder and nothing else."""
    for refused in (lambda: store.spool(name, "x"), lambda: store.spool(WORKER, name), lambda: store.sweep(name)):
        with pytest.raises(ValueError, match="not a name"):
            refused()


# Finishing once and only once


def test_finishing_again_is_the_same_file(store: BatchStore) -> None:
    """A checkpoint that is tried again finds what it finished before, in one process or after a crash."""
    spool = spooled(store, KIB)
    stored = spool.finish(PATH)
    assert spool.finish(PATH) == stored
    assert spooled(store, KIB[:100], KIB[100:]).finish(PATH) == stored
    assert store.read(PATH) == KIB


def test_a_file_is_never_replaced_by_another(place: Place, store: BatchStore) -> None:
    """The name stays with its first content; the other spool keeps its own and may take another name."""
    put(store, PATH, KIB)
    for other in (KIB[:-1], KIB[:-1] + b"\x00"):
        spool = spooled(store, other)
        with pytest.raises(PathTaken, match=PATH):
            spool.finish(PATH)
        assert store.read(PATH) == KIB
        spool.finish(f"orders/{spool.sha256}.avro")
        assert store.read(f"orders/{spool.sha256}.avro") == other


def test_of_many_that_want_one_name_one_gets_it(store: BatchStore) -> None:
    """A worker and the zombie it replaced may finish at the same moment."""
    spools = [spooled(store, bytes([number]) * 1000, worker=f"worker-{number}") for number in range(8)]

    def finish(spool: Spool) -> bool:
        with suppress(PathTaken):
            spool.finish(PATH)
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(finish, spools))
    assert won.count(True) == 1
    assert store.read(PATH) == bytes([won.index(True)]) * 1000


def test_a_finished_spool_takes_nothing_more(store: BatchStore) -> None:
    """Neither bytes nor a second name; discarding it leaves the file."""
    spool = spooled(store, KIB)
    spool.finish(PATH)
    with pytest.raises(ValueError, match="finished"):
        spool.append(b"more")
    with pytest.raises(ValueError, match="finished"):
        spool.finish("orders/other.avro")
    spool.discard()
    assert store.read(PATH) == KIB


def test_an_empty_file_is_no_batch(store: BatchStore) -> None:
    """Not even one without rows: that has a header."""
    with pytest.raises(ValueError, match="empty"):
        spooled(store).finish(PATH)


# Temporary files


def test_a_discarded_spool_leaves_nothing(place: Place, store: BatchStore) -> None:
    """Also one that never wrote, and one discarded twice."""
    for spool in (spooled(store, KIB), spooled(store)):
        spool.discard()
        spool.discard()
    assert place.temporary_files() == []


def test_a_worker_sweeps_its_own_leftovers_and_no_others(place: Place, store: BatchStore) -> None:
    """And no finished file; there may be nothing to sweep."""
    assert store.sweep(WORKER) == 0
    put(store, PATH, KIB)
    spooled(store, KIB)
    spooled(store, KIB)
    other = spooled(store, KIB, worker="stream-1")
    assert place.open().sweep(WORKER) == 2
    assert len(place.temporary_files()) == 1
    assert store.read(PATH) == KIB
    other.finish("orders/other.avro")


def test_spools_of_one_name_do_not_meet(store: BatchStore) -> None:
    """The name is for people; two processes that were given one worker id must not write into one file."""
    one, two = spooled(store, b"one"), spooled(store, b"two")
    one.append(b"!")
    two.append(b"?")
    one.finish("orders/1.avro")
    two.finish("orders/2.avro")
    assert (store.read("orders/1.avro"), store.read("orders/2.avro")) == (b"one!", b"two?")


@pytest.mark.parametrize("loss", ["removed", "shortened"])
def test_a_spool_that_somebody_changed_is_lost_and_says_so(place: Place, store: BatchStore, loss: str) -> None:
    """Going on would make a file that lacks its beginning."""
    spool = spooled(store, KIB)
    (file,) = place.temporary_files()
    if loss == "removed":
        file.unlink()
    else:
        os.truncate(file, 1000)
    for access in (lambda: spool.append(KIB), lambda: spool.finish(PATH)):
        with pytest.raises(SpoolLost):
            access()
    assert not store.exists(PATH)


def test_hundreds_of_open_spools_need_no_hundreds_of_open_files(store: BatchStore) -> None:
    """Every open window of every site has one."""
    put(store, PATH, KIB)  # connections and libraries are open from here on
    highest = max(int(descriptor.name) for descriptor in Path("/dev/fd").iterdir())
    with limit(resource.RLIMIT_NOFILE, highest + 20):
        spools = [spooled(store, b"head") for _ in range(300)]
        for spool in spools:
            spool.append(b"tail")
    for spool in spools:
        spool.discard()


# Disks that fail


@contextmanager
def limit(what: int, soft: int) -> Iterator[None]:
    """A resource limit of this process, for a while. The kernel enforces it, and nobody needs to be root."""
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))


def test_a_write_that_failed_half_way_is_repaired_by_the_next(place: Place, store: BatchStore) -> None:
    """The kernel takes 512 of 1,024 bytes and refuses the rest; the block goes again as a whole, or another does."""
    spool = spooled(store, KIB)
    with limit(resource.RLIMIT_FSIZE, 1536):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="ulimit -f"):
                spool.append(KIB)
    (file,) = place.temporary_files()
    assert file.stat().st_size == 1536  # torn, for the test to mean something
    assert spool.bytes == 1024
    spool.append(b"short")
    assert store.read_verified(spool.finish(PATH)) == KIB + b"short"


def test_a_torn_tail_does_not_get_into_the_finished_file(store: BatchStore) -> None:
    """Even if nothing is appended after the failure."""
    spool = spooled(store, KIB)
    with limit(resource.RLIMIT_FSIZE, 1536), pytest.raises(StoreUnavailable):
        spool.append(KIB)
    assert store.read_verified(spool.finish(PATH)) == KIB


def test_a_first_write_that_failed_can_be_repeated(store: BatchStore) -> None:
    """Although it has created the file already."""
    spool = store.spool(WORKER, "orders-0")
    with limit(resource.RLIMIT_FSIZE, 100), pytest.raises(StoreUnavailable):
        spool.append(KIB)
    spool.append(KIB)
    assert store.read_verified(spool.finish(PATH)) == KIB


def test_a_check_passes_where_files_can_be_written(place: Place, store: BatchStore) -> None:
    """Again and again, and leaves nothing behind."""
    for _ in range(3):
        store.check()
    assert place.temporary_files() == []
    assert list(store.list()) == []


def test_a_check_refuses_when_the_disk_is_about_to_be_full(place: Place) -> None:
    """It names the setting and what to do."""
    with pytest.raises(StoreUnavailable, match=r"MIN_FREE_BYTES.*Free space"):
        place.open(min_free_bytes=1 << 60).check()


@dataclass(frozen=True)
class SmallDisk:
    """A disk that can be filled, emptied and made read-only. `real` says whether it is one, or limits that act so."""

    folder: Path
    real: bool

    @contextmanager
    def full(self) -> Iterator[None]:
        """No room for another byte; on a real disk, nor for another file."""
        if not self.real:
            with limit(resource.RLIMIT_FSIZE, 0):
                yield
            return
        fillers = self.folder / "fillers"
        fillers.mkdir()
        with suppress(OSError), (fillers / "bytes").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with suppress(OSError):
            for number in count():
                (fillers / str(number)).touch()
        try:
            yield
        finally:
            shutil.rmtree(fillers)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Limits cannot tell writing from reading: there, nothing can be reached at all."""
        if self.real:
            assert mount("-o", "remount,ro", str(self.folder))
        else:
            self.folder.chmod(0)
        try:
            with nullcontext() if self.real else unprivileged():
                yield
        finally:
            if self.real:
                assert mount("-o", "remount,rw", str(self.folder))
            else:
                self.folder.chmod(0o700)


def mount(*arguments: str) -> bool:
    """Whether `mount` was allowed to."""
    with suppress(FileNotFoundError):
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    return False


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions bind, which they do not bind root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture(params=["disk", "limits"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """A mebibyte in memory where mounting is allowed. Where it is not, the tests run with limits only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    real = request.param == "disk" and mount("-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "velocity-test", str(folder))
    yield SmallDisk(folder, real)
    if real:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: SmallDisk) -> None:
    """It refuses with what to do, and goes on where it stopped when there is space again."""
    store = open_store(StoreSettings(url=str(small_disk.folder / "store")))
    store.check()
    spool, finishing = spooled(store, KIB * 10), spooled(store, KIB)
    with small_disk.full():
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="Free space" if small_disk.real else "ulimit"):
                spool.append(KIB * 100)
        with pytest.raises(StoreUnavailable):
            store.check()
        if small_disk.real:  # no room for the directory that the finished file should go to
            with pytest.raises(StoreUnavailable, match="Free space"):
                finishing.finish(PATH)
    store.check()
    spool.append(KIB * 100)
    assert store.read_verified(spool.finish("orders/1.avro")) == KIB * 110
    assert store.read_verified(finishing.finish(PATH)) == KIB


def test_a_read_only_disk_loses_nothing(small_disk: SmallDisk) -> None:
    """Neither what is being written nor what is being finished; what is there can be read meanwhile."""
    store = open_store(StoreSettings(url=str(small_disk.folder)))
    put(store, PATH, KIB)
    spool, finishing, unwanted = spooled(store, KIB), spooled(store, KIB), spooled(store, KIB)
    with small_disk.read_only():
        refused: list[Callable[[], object]] = [
            lambda: spool.append(KIB),
            lambda: store.spool("stream-9", "new").append(KIB),
            lambda: finishing.finish("returns/new/file.avro"),
            lambda: store.delete(PATH),
            store.check,
        ]
        for access in refused:
            with pytest.raises(StoreUnavailable, match=r"writable|access"):
                access()
        unwanted.discard()  # cannot, and says nothing: the next sweep will
        if small_disk.real:
            assert store.read(PATH) == KIB
    store.check()
    spool.append(KIB)
    assert store.read_verified(spool.finish("orders/1.avro")) == KIB + KIB
    assert store.read_verified(finishing.finish("returns/new/file.avro")) == KIB
    assert store.sweep(WORKER) == 1


# The directory, beyond the contract


def test_after_a_failed_fsync_the_file_is_written_anew(directory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel drops pages that it could not write and lets the next fsync of them succeed (fsyncgate, 2018).

    So what is finished after a failure is not the file whose fsync failed, but a copy of checked content. A failing
    disk cannot be had without root; here fsync itself fails, twice.
    """
    store = directory.open()
    spool = spooled(store, KIB)
    (file,) = directory.temporary_files()
    doubtful = file.stat().st_ino
    failures = iter([errno.EIO, errno.ENOSPC])
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        for code in failures:
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StoreUnavailable, match="health of its disk"):
        spool.finish(PATH)
    with pytest.raises(StoreUnavailable, match="Free space"):
        spool.finish(PATH)
    stored = spool.finish(PATH)
    assert store.read_verified(stored) == KIB
    assert (Path(directory.url) / PATH).stat().st_ino != doubtful
    assert directory.temporary_files() == []


def test_content_that_a_failed_fsync_has_spoiled_is_lost_and_says_so(
    directory: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never finished under the hash of what it should be."""
    store = directory.open()
    spool = spooled(store, KIB)
    (file,) = directory.temporary_files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "failed")))
        with pytest.raises(StoreUnavailable):
            spool.finish(PATH)
    file.write_bytes(bytes(1024))
    with pytest.raises(SpoolLost):
        spool.finish(PATH)
    assert not store.exists(PATH)


def test_a_finish_that_failed_after_the_name_was_given_succeeds_later(
    directory: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, but its directory's fsync failed: the next try finds it and makes it durable."""
    store = directory.open()
    put(store, "orders/UK-DC1/2011-05/other.avro", KIB)  # its directories are durable
    spool = spooled(store, KIB)
    fsync, calls = os.fsync, iter(range(100))

    def second_fails(descriptor: int) -> None:
        if next(calls) == 1:
            raise OSError(errno.EIO, "failed")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(StoreUnavailable):
        spool.finish(PATH)
    assert store.exists(PATH)
    assert store.read_verified(spool.finish(PATH)) == KIB
    assert directory.temporary_files() == []


CRASHING_WRITER = """
import hashlib, sys
from runtime.settings import StoreSettings
from runtime.store import open_store

store = open_store(StoreSettings(url=sys.argv[1]))
print("started", flush=True)
for number in range(1_000_000):
    spool = store.spool("stream-0", "orders")
    for part in range(8):
        spool.append(f"{number}.{part}\\n".encode() * 2000)
    spool.finish(f"orders/{spool.sha256}.avro")
"""


def test_a_killed_writer_leaves_whole_files_and_leftovers_that_it_sweeps(directory: Place) -> None:
    """SIGKILL at any moment: what has a final name is complete, and everything else is swept."""
    for moment in (0.05, 0.11, 0.17, 0.23):
        writer = subprocess.Popen([sys.executable, "-c", CRASHING_WRITER, directory.url], stdout=subprocess.PIPE)
        assert writer.stdout
        assert writer.stdout.readline() == b"started\n"
        time.sleep(moment)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    store = directory.open()
    finished = [path for path, _ in store.list()]
    assert finished
    assert [f"orders/{store.sha256_of(path)}.avro" for path in finished] == finished
    store.sweep(WORKER)
    assert directory.temporary_files() == []


def test_a_store_that_is_not_mounted_is_unavailable_and_not_empty(directory: Place) -> None:
    """Else every batch would seem to be missing."""
    store = directory.open()
    for access in (store.read, store.open, store.size, store.exists, lambda _: list(store.list())):
        with pytest.raises(StoreUnavailable, match="mounted"):
            access(PATH)
    assert not Path(directory.url).exists()  # reading creates nothing


def test_every_error_that_heals_says_what_to_do() -> None:
    """One sentence each, in the imperative, for the reason that readiness shows."""
    assert all(advice.endswith(".") and advice[0].isupper() for advice in ADVICE.values())
    assert {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO} <= set(ADVICE)


# The bucket, beyond the contract


def test_a_bucket_that_does_not_exist_is_unavailable_and_not_empty(bucket: Place) -> None:
    """A missing object and a missing bucket are both "404 Not Found"."""
    store = Place("s3://no-such-bucket/prefix", bucket.spool_dir).open()
    refused: list[Callable[[], object]] = [
        lambda: store.read(PATH),
        lambda: store.size(PATH),
        lambda: list(store.list()),
        lambda: put(store, PATH, KIB),
        store.check,
    ]
    for access in refused:
        with pytest.raises(StoreUnavailable, match="Check that the bucket exists"):
            access()


def test_a_bucket_out_of_reach_loses_nothing(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finishing is refused within seconds, and succeeds when the bucket is back."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    store = bucket.open()
    spool = spooled(store, KIB)
    server.stop()
    started = time.monotonic()
    for access in (lambda: spool.finish(PATH), store.check):
        with pytest.raises(StoreUnavailable, match="network"):
            access()
    assert time.monotonic() - started < 40
    server = ThreadedMotoServer(host, port, verbose=False)  # all servers of a process share their buckets
    server.start()
    try:
        assert store.read_verified(spool.finish(PATH)) == KIB
    finally:
        server.stop()


# Settings


def test_the_url_decides_the_store(tmp_path: Path) -> None:
    """A directory may be written as a path or as a file URL; what is neither that nor a bucket is refused."""
    for url in (str(tmp_path), f"file://{tmp_path}"):
        put(open_store(StoreSettings(url=url)), f"a/{len(url)}.avro", KIB)
    assert len(list(open_store(StoreSettings(url=str(tmp_path))).list())) == 2
    with pytest.raises(SettingsRefused, match="s3://bucket/prefix"):
        open_store(StoreSettings(url="gs://bucket"))


def test_a_store_is_claimed_once(place: Place, store: BatchStore) -> None:
    """The first claim stands, for other processes too; it is no file of the store."""
    assert store.claimed_by() is None
    assert store.claim("a topic id-1") == "a topic id-1"
    assert store.claim("b topic id-2") == "a topic id-1"
    assert place.open().claimed_by() == "a topic id-1"
    assert list(store.list()) == []


def test_a_volume_that_is_gone_is_noticed(directory: Place, tmp_path: Path) -> None:
    """What lies beneath its mount point has no claim: no batch is finished there. Once it is back all goes on."""
    store, root = directory.open(), tmp_path / "store"
    store.claim("a topic id-1")
    store.check()
    spool = spooled(store, KIB)
    root.rename(tmp_path / "volume")
    root.mkdir()
    for access in (store.check, lambda: spooled(store, KIB).finish(PATH)):
        with pytest.raises(StoreUnavailable, match="is its volume mounted"):
            access()
    assert list(root.rglob("*.avro")) == []
    shutil.rmtree(root)
    (tmp_path / "volume").rename(root)
    store.check()
    assert store.read_verified(spool.finish(PATH)) == KIB
