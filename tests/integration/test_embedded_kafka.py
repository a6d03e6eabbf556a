"""The embedded broker is a real Kafka that keeps its data, tolerates neighbours, and never outlives its owner."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka import (
    FAST_START_JVM,
    EmbeddedKafka,
    KafkaInstallError,
    KafkaStartError,
    broker_status,
    default_data_dir,
    start_broker,
    stop_broker,
)
from sandbox.kafka.files import DataDir, RunningBroker
from sandbox.kafka.install import class_path, pinned_jars
from sandbox.kafka.probe import free_port
from sandbox.kafka.properties import broker_properties

OWNER = """
import sys, threading, time
from pathlib import Path
from sandbox.kafka import FAST_START_JVM, EmbeddedKafka
kafka = EmbeddedKafka(Path(sys.argv[1]), jvm=FAST_START_JVM)
thread = threading.Thread(target=kafka.start)
thread.start()
thread.join()
print(kafka.pid, flush=True)
time.sleep(600)
"""

STARTER = """
import sys
from pathlib import Path
from sandbox.kafka import FAST_START_JVM, start_broker
print(start_broker(int(sys.argv[1]), Path(sys.argv[2]), jvm=FAST_START_JVM).pid)
"""


def topics(kafka: EmbeddedKafka) -> set[str]:
    """Names of the broker's topics."""
    return set(AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics)


def create_topic(kafka: EmbeddedKafka, name: str) -> None:
    """Creates a topic of one partition."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(10)


def send(kafka: EmbeddedKafka, topic: str, value: bytes) -> None:
    """Sends one record and waits for the broker's acknowledgement."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def read(kafka: EmbeddedKafka, topic: str, count: int, group: str = "reader") -> list[bytes | None]:
    """Joins a group with the shortest session and reads `count` committed records from the start."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": group,
            "session.timeout.ms": 1000,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=20)
        return [message.value() for message in messages]
    finally:
        consumer.close()


def eventually(claim: Callable[[], bool], within_s: float) -> bool:
    """Whether the claim comes true in time."""
    deadline = time.monotonic() + within_s
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_gone(pid: int) -> bool:
    """Whether no process of that id lives; a zombie does not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_data_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    """Stopped cleanly or killed while frozen, the broker comes back on its port with every acknowledged record."""
    with EmbeddedKafka(tmp_path, jvm=FAST_START_JVM) as kafka:
        port, cluster = kafka.port, DataDir(tmp_path).cluster_id()
        create_topic(kafka, "kept")
        send(kafka, "kept", b"first")
        kafka.restart()
        send(kafka, "kept", b"second")
        os.kill(kafka.pid, signal.SIGSTOP)
        kafka.kill()
        kafka.kill()
        assert not kafka.is_running
        kafka.start()
        assert read(kafka, "kept", 2) == [b"first", b"second"]
        assert (kafka.port, DataDir(tmp_path).cluster_id()) == (port, cluster)
    assert (tmp_path / "log" / ".kafka_cleanshutdown").exists()


def test_brokers_live_side_by_side(broker: EmbeddedKafka, topic_prefix: str) -> None:
    """A second broker on free ports is another cluster, and its end leaves neither a process nor a folder behind."""
    with EmbeddedKafka(jvm=FAST_START_JVM) as other:
        create_topic(other, f"{topic_prefix}only-here")
        assert f"{topic_prefix}only-here" in topics(other)
        assert f"{topic_prefix}only-here" not in topics(broker)
        pid, data_dir = other.pid, other.data_dir
    assert is_gone(pid)
    assert not data_dir.exists()
    assert broker.is_running


def test_transactions_and_short_sessions_work(broker: EmbeddedKafka, topic_prefix: str) -> None:
    """One node is enough for a transaction, a group forms at once, and a missing topic is not invented."""
    topic = f"{topic_prefix}events"
    create_topic(broker, topic)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(20)
    for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(20)
        end(20)
    assert read(broker, topic, 1, group=topic) == [b"committed"]
    AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(f"{topic_prefix}missing", timeout=10)
    assert f"{topic_prefix}missing" not in topics(broker)


def test_broker_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    """The broker outlives the thread that started it, and not the process, be that killed with SIGKILL."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE)
    assert owner.stdout
    with owner.stdout:
        pid = int(owner.stdout.readline())
    try:
        time.sleep(0.5)
        assert DataDir(tmp_path).is_broker(pid)
    finally:
        owner.kill()
        owner.wait()
    try:
        assert eventually(lambda: is_gone(pid), within_s=10)
    finally:
        stop_broker(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_broker_ends_when_its_guard_is_killed() -> None:
    """Even the guard between owner and broker may be killed: the broker ends, and can be started again."""
    with EmbeddedKafka(jvm=FAST_START_JVM) as kafka:
        pid = kafka.pid
        psutil.Process(pid).parent().kill()  # type: ignore[union-attr]
        assert eventually(lambda: is_gone(pid) and not kafka.is_running, within_s=5)


def test_a_started_service_stays_until_it_is_stopped(tmp_path: Path) -> None:
    """`start` returns with the broker answering, a second one finds it, `stop` ends it, and status knows throughout."""
    port = free_port()
    started = subprocess.run([sys.executable, "-c", STARTER, str(port), str(tmp_path)], capture_output=True, check=True)
    pid = int(started.stdout)
    try:
        found = start_broker(port, tmp_path)
        assert (found.running, found.answering, found.pid) == (True, True, pid)
        assert found.bootstrap_servers == f"127.0.0.1:{port}"
        with pytest.raises(KafkaStartError, match=f"already runs, at 127.0.0.1:{port}"):
            start_broker(port + 1, tmp_path)
    finally:
        assert stop_broker(tmp_path)
    assert is_gone(pid)
    assert (tmp_path / "log" / ".kafka_cleanshutdown").exists()
    assert not broker_status(tmp_path).running
    assert not stop_broker(tmp_path)


def test_status_does_not_mistake_another_process_for_the_broker(tmp_path: Path) -> None:
    """A stale `broker.json` whose process id now belongs to somebody else means: not running; nobody is signalled."""
    DataDir(tmp_path).record(RunningBroker(pid=os.getpid(), port=9092))
    assert not broker_status(tmp_path).running
    assert not stop_broker(tmp_path)


def test_damaged_state_file_means_not_running(tmp_path: Path) -> None:
    """Half a `broker.json`, or one with other fields, is as good as none."""
    for text in ("{", json.dumps({"pid": 1}), "[]"):
        (tmp_path / "broker.json").write_text(text)
        assert not broker_status(tmp_path).running


def test_start_refuses_a_taken_port_and_a_taken_directory(broker: EmbeddedKafka, tmp_path: Path) -> None:
    """Both refusals come before Java starts, and say who is in the way."""
    with pytest.raises(KafkaStartError, match=f"port {broker.port} is taken"):
        EmbeddedKafka(tmp_path, broker.port).start()
    with pytest.raises(KafkaStartError, match=f"process {broker.pid} already runs a broker"):
        EmbeddedKafka(broker.data_dir).start()


def test_a_refusal_of_kafka_reaches_the_caller(tmp_path: Path) -> None:
    """When Kafka does not start, the error ends with Kafka's own words, and nothing is left running."""
    kafka = EmbeddedKafka(tmp_path, jvm=FAST_START_JVM, properties={"group.max.size": "none"})
    with pytest.raises(KafkaStartError, match=r"Invalid value none for configuration group\.max\.size"):
        kafka.start()
    assert not kafka.is_running


def test_paths_that_kafka_would_split_are_refused(tmp_path: Path) -> None:
    """`log.dirs` is a comma-separated list: a comma in the path would scatter the data."""
    with pytest.raises(ValueError, match="comma"):
        broker_properties(tmp_path / "a,b", 1, 2)


def test_default_data_directory_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`XDG_DATA_HOME` wins over `~/.local/share`; a relative one is no value, as its specification says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_dir() == tmp_path / ".local" / "share" / "velocity" / "kafka"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_data_dir() == tmp_path / "xdg" / "velocity" / "kafka"


def test_without_network_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache and no way out: the error names the jar, the repository and the remedy."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("M2_REPO", str(tmp_path))
        with pytest.raises(KafkaInstallError, match=r"could not download .*\.jar from https://repo\.maven.* network"):
            class_path()


def test_a_damaged_jar_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A jar that a broken download truncated does not pass for the pinned one."""
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    jar = pinned_jars()[0]
    assert not jar.is_intact()
    jar.path.parent.mkdir(parents=True)
    jar.path.write_bytes(b"PK\x03\x04 truncated")
    assert not jar.is_intact()
