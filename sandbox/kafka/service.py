"""A broker that outlives the command that started it: what `velocity kafka start|stop|status` does."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.kafka.broker import STOP_TIMEOUT_S, EmbeddedKafka, KafkaStartError
from sandbox.kafka.files import DataDir, RunningBroker
from sandbox.kafka.install import KAFKA_VERSION, Progress
from sandbox.kafka.probe import answers
from sandbox.kafka.properties import FULL_JVM, HOST

DEFAULT_PORT = 9092


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """A look at the broker of a data directory; `pid` and `bootstrap_servers` are None when it is not running."""

    data_dir: Path
    running: bool
    answering: bool
    pid: int | None = None
    bootstrap_servers: str | None = None
    version: str = KAFKA_VERSION


def default_data_dir() -> Path:
    """`velocity/kafka` below `XDG_DATA_HOME` (`~/.local/share`)."""
    configured = os.environ.get("XDG_DATA_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".local" / "share"
    return base / "velocity" / "kafka"


def start_broker(
    port: int = DEFAULT_PORT,
    data_dir: Path | None = None,
    *,
    jvm: Sequence[str] = FULL_JVM,
    on_progress: Progress | None = None,
) -> BrokerStatus:
    """Starts a broker that stays, or finds the one that already runs on the data directory.

    Raises:
        KafkaInstallError: Kafka is not on this machine and cannot be downloaded.
        KafkaStartError: it did not come up, or it runs on another port.
    """
    directory = _directory(data_dir)
    running = directory.running_broker()
    if running and running.port != port:
        raise KafkaStartError(f"the broker on {directory.root} already runs, at {HOST}:{running.port}")
    if not running:
        EmbeddedKafka(directory.root, port, stay=True, jvm=jvm, on_progress=on_progress).start()
    return broker_status(directory.root)


def stop_broker(data_dir: Path | None = None) -> bool:
    """Stops the broker of the data directory cleanly, after 30 s by SIGKILL; False when none was running."""
    directory = _directory(data_dir)
    running = directory.running_broker()
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    if not _is_gone(directory, running, STOP_TIMEOUT_S):
        os.kill(running.pid, signal.SIGKILL)
        _is_gone(directory, running, STOP_TIMEOUT_S)
    directory.forget()
    return True


def broker_status(data_dir: Path | None = None) -> BrokerStatus:
    """Whether the broker of the data directory runs, and whether it answers metadata requests (waits up to 3 s)."""
    directory = _directory(data_dir)
    running = directory.running_broker()
    if running is None:
        return BrokerStatus(directory.root, running=False, answering=False)
    answering = answers(running.port, directory.cluster_id(), timeout_s=3.0)
    return BrokerStatus(directory.root, True, answering, running.pid, f"{HOST}:{running.port}")


def _directory(data_dir: Path | None) -> DataDir:
    return DataDir((data_dir or default_data_dir()).absolute())


def _is_gone(directory: DataDir, broker: RunningBroker, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not directory.has_ended(broker.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
