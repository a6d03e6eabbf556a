"""The file: what a commit means, who may open it, and what a transaction sees."""

import multiprocessing
import os
import signal
import threading
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hand_made import batch, open_database, order

from batcher.database import Database
from batcher.database_file import DatabaseRefused
from schemas.sources import Source

T = "2011-05-01T10:00:00Z"
TOPIC = "velocity.batches.v1"


def insert_and_advance(database: Database, event_id: str, offset: int) -> None:
    """One batch and the offset behind it, together."""
    with database.transaction():
        database.insert_batch(*batch(Source.ORDERS, order(event_id, T), batch_id=event_id), partition=0, offset=offset)
        database.set_offset(TOPIC, 0, offset + 1)


def facts(database: Database) -> int:
    return sum(database.fact_statistics().column("facts").to_pylist())


def test_what_was_committed_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    """Facts, offsets, runs and the outbox."""
    path = tmp_path / "state" / "velocity.duckdb"
    with closing(open_database(path)) as database:
        insert_and_advance(database, "E1", 0)
        run = database.calculate("S1", 1_306_800_000_000, trigger="test", now_ms=0, newest=True)
        due = database.outbox(0, 10)
    with closing(open_database(path)) as database:
        assert database.offsets() == {(TOPIC, 0): 1}
        assert facts(database) == 1
        assert database.runs() == [run]
        assert database.outbox(0, 10) == due != []
        insert_and_advance(database, "E2", 1)
        assert facts(database) == 2


def test_a_transaction_is_all_or_nothing() -> None:
    """An exception within it, at whatever depth, leaves everything as it was; the next one works as ever."""
    with closing(open_database()) as database:
        insert_and_advance(database, "E1", 0)
        with pytest.raises(ZeroDivisionError), database.transaction():
            insert_and_advance(database, "E2", 1)
            database.set_offset(TOPIC, 1, 1 // 0)
        assert (database.offsets(), facts(database)) == ({(TOPIC, 0): 1}, 1)
        too_much = batch(Source.ORDERS, order("E3", T, quantity=1e300))
        with pytest.raises(duckdb.Error), database.transaction():
            database.set_offset(TOPIC, 0, 9)
            database.insert_batch(*too_much, partition=0, offset=0)
        insert_and_advance(database, "E3", 1)
        assert (database.offsets(), facts(database)) == ({(TOPIC, 0): 2}, 2)


def test_a_transaction_sees_itself_and_nobody_else_does() -> None:
    """Readers in other threads go on with what is committed, without waiting."""
    with closing(open_database()) as database:
        seen: list[int] = []
        with database.transaction():
            insert_and_advance(database, "E1", 0)
            assert facts(database) == 1
            reader = threading.Thread(target=lambda: seen.append(facts(database)))
            reader.start()
            reader.join(timeout=30)
        assert seen == [0]
        assert facts(database) == 1


def test_threads_write_one_after_the_other() -> None:
    """Four writers at once: nothing is lost, and nobody sees half of anything."""
    with closing(open_database()) as database:

        def write(number: int) -> None:
            for step in range(3):
                insert_and_advance(database, f"E{number}-{step}", number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert facts(database) == 12


def _insert_until_killed(path: Path, progress: "multiprocessing.connection.Connection") -> None:
    database = open_database(path)
    for offset in range(10_000):
        insert_and_advance(database, f"E{offset}", offset)
        progress.send(offset)


def test_a_killed_process_leaves_facts_and_offsets_that_agree(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: every commit that was reported is there, and each batch with its offset."""
    path = tmp_path / "velocity.duckdb"
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    writer = spawn.Process(target=_insert_until_killed, args=(path, sender))
    writer.start()
    reported = -1
    while reported < 5 and receiver.poll(60):
        reported = receiver.recv()
    assert writer.pid
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(timeout=30)
    while receiver.poll():
        reported = receiver.recv()
    with closing(open_database(path)) as database:
        found = facts(database)
        assert found > reported >= 5
        assert database.offsets() == {(TOPIC, 0): found}
        assert database.batches().num_rows == found


def test_a_file_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    """With its name; two workers must not share one."""
    path = tmp_path / "velocity.duckdb"
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    other = spawn.Process(target=_insert_until_killed, args=(path, sender))
    other.start()
    try:
        assert receiver.poll(60)
        with pytest.raises(DatabaseRefused, match=r"velocity\.duckdb cannot be opened"):
            open_database(path)
    finally:
        other.kill()
        other.join(timeout=30)


@pytest.mark.parametrize(("version", "told"), [("99", "use a newer one"), ("2", "remove it, and the worker builds it")])
def test_a_file_of_another_version_is_refused(tmp_path: Path, version: str, told: str) -> None:
    """Rather than misread; and it is left alone."""
    path = tmp_path / "velocity.duckdb"
    open_database(path).close()
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE meta SET value = $version WHERE key = 'schema'", {"version": version})
    for _ in range(2):
        with pytest.raises(DatabaseRefused, match=rf"has version {version}, .*{told}"):
            open_database(path)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """With its name."""
    path = tmp_path / "velocity.duckdb"
    path.write_bytes(b"something else entirely" * 1000)
    with pytest.raises(DatabaseRefused, match=r"velocity\.duckdb"):
        open_database(path)


def test_work_can_be_interrupted() -> None:
    """A long query ends with an exception, and the database goes on."""
    with closing(open_database()) as database:
        failures: list[BaseException] = []
        started = threading.Event()

        def work() -> None:
            try:
                with database._file.writing() as connection:
                    started.set()
                    connection.execute(
                        "SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)"
                    ).fetchall()
            except duckdb.Error as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        started.wait(timeout=30)
        while thread.is_alive():
            database.interrupt()
            thread.join(timeout=0.1)
        assert isinstance(failures[0], duckdb.InterruptException)
        insert_and_advance(database, "E1", 0)
        assert facts(database) == 1
