"""A broker's data directory: its files, and which process is running on it."""

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """Contents of `broker.json`: the Java process and the port it listens on."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class DataDir:
    """The layout of a broker's data directory; `root` is absolute."""

    root: Path

    @property
    def properties_file(self) -> Path:
        """The broker's configuration, written anew at each start."""
        return self.root / "server.properties"

    @property
    def log_file(self) -> Path:
        """What the broker writes to its standard output and error, over all starts."""
        return self.root / "broker.log"

    @property
    def kafka_log_dir(self) -> Path:
        """Kafka's own `log.dirs`."""
        return self.root / "log"

    @property
    def process_marker(self) -> str:
        """The Java argument before `-cp` by which the broker of this directory is known."""
        return f"-Dvelocity.kafka.data-dir={self.root}"

    def cluster_id(self) -> str | None:
        """The cluster id, or None while the directory is not formatted."""
        try:
            text = (self.kafka_log_dir / "meta.properties").read_text("utf-8")
        except FileNotFoundError:
            return None
        entries = (line.partition("=") for line in text.splitlines())
        return next((value for name, _, value in entries if name == "cluster.id"), None)

    def running_broker(self) -> RunningBroker | None:
        """The broker on this directory; a process that merely inherited its process id does not count."""
        try:
            state = RunningBroker(**json.loads(self._state_file.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return state if self.is_broker(state.pid) else None

    def is_broker(self, pid: int) -> bool:
        """Whether the process is alive and was started as the broker of this directory."""
        return f" {self.process_marker} -cp " in _command_line(pid)

    def has_ended(self, pid: int) -> bool:
        """Whether the process that was the broker of this directory has given up everything, its files too."""
        return not self.is_broker(pid) and not _is_ending(pid)

    def record(self, broker: RunningBroker) -> None:
        """Writes `broker.json`, atomically."""
        temporary = self._state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(broker)), "utf-8")
        temporary.replace(self._state_file)

    def forget(self) -> None:
        """Removes `broker.json`."""
        self._state_file.unlink(missing_ok=True)

    @property
    def _state_file(self) -> Path:
        return self.root / "broker.json"


def _command_line(pid: int) -> str:
    """The program and its arguments, with blanks between them; empty when there is no such process, or a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "surrogateescape").replace("\0", " ")
        except OSError:
            return ""
    listing = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout


def _is_ending(pid: int) -> bool:
    """Whether a process has given up its memory, with its command line in it, but has files yet: some milliseconds."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "surrogateescape").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX" and not _command_line(pid)
