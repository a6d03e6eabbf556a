"""A rival's Java program: compiled with the machine's JDK, run as a process of its own, measured from outside.

The program says on its standard output when its first record is there (`first`) and when the end of the input has gone
through its windows (`done WINDOWS EVENTS THOUSANDTHS`), so the start of the JVM is not measured. It stays until its
standard input is closed: by then its CPU time and memory have been read.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch
from sandbox.kafka.install import class_path_of, parse_pins

SOURCES = Path(__file__).parent
OLDEST_JAVA = 17
#: 1 GiB of heap, and for the rest what the JVM chooses: G1 on two cores.
HEAP = ("-Xms1g", "-Xmx1g")
LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",)


class NoJdk(RuntimeError):
    """The machine has no JDK that could compile and run a rival."""


class RivalFailed(RuntimeError):
    """The rival's program did not compile, or ended early; what it said is in the lane's log."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A Java program of this folder: its main class, what is compiled along with it, the list of its jars."""

    main: str
    sources: tuple[str, ...]
    pins: str
    jvm: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """What a rival says of the windows that have closed. `quantity` is in thousandths."""

    windows: int
    events: int
    quantity: int


def jdk() -> Path:
    """The folder of `java` and `javac`: that of `JAVA_HOME`, or else of the `PATH`.

    Raises:
        NoJdk
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("javac", path=str(Path(home) / "bin") if home else None)
    if not found:
        where = f"JAVA_HOME ({home})" if home else "the PATH"
        raise NoJdk(
            f"the lanes flink and kafka-streams compile Java and need a JDK, {OLDEST_JAVA} or newer; there is no javac "
            f"in {where}. On Debian and Ubuntu: apt install openjdk-17-jdk-headless; or name one in JAVA_HOME"
        )
    return Path(found).resolve().parent


def measure(rival: Rival, job: Job, arguments: Sequence[str]) -> tuple[Measurement, Totals]:
    """Compile the rival if need be and run it over the topic.

    Raises:
        NoJdk, RivalFailed, KafkaInstallError
    """
    os.environ["M2_REPO"] = str(job.cache / "maven")  # where the jars are kept; this process runs one lane
    bin_dir = jdk()
    jars = class_path_of(parse_pins((SOURCES / rival.pins).read_text("utf-8")))
    classes = _compiled(rival, bin_dir, jars, job.cache / "rivals")
    path = os.pathsep.join([str(classes), jars])
    command = [str(bin_dir / "java"), *HEAP, *LOGGING, *rival.jvm, "-cp", path, rival.main, *arguments]
    with _program(command) as program:
        return _follow(program, job)


def _compiled(rival: Rival, bin_dir: Path, jars: str, cache: Path) -> Path:
    """The folder of the rival's classes, named by what they were compiled from."""
    files = [SOURCES / name for name in rival.sources]
    content = b"".join(file.read_bytes() for file in [*files, SOURCES / rival.pins])
    classes = cache / f"{rival.main}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not (classes / f"{rival.main}.class").exists():
        command = [str(bin_dir / "javac"), "--release", str(OLDEST_JAVA), "-nowarn", "-cp", jars, "-d", str(classes)]
        if subprocess.run([*command, *map(str, files)], stdout=sys.stderr, check=False).returncode:
            raise RivalFailed(f"{rival.main}.java does not compile")
    return classes


@contextmanager
def _program(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The process under test. Its log goes where this process's errors go."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr)
    try:
        yield process
    finally:
        process.kill()  # it has said all that it had to say
        process.wait()


def _follow(program: "subprocess.Popen[bytes]", job: Job) -> tuple[Measurement, Totals]:
    assert program.stdout
    watch = Stopwatch([program.pid], job.broker_pid)
    _wait_for(b"first", program, program.stdout)
    watch.start()
    windows, events, quantity = map(int, _wait_for(b"done", program, program.stdout))
    return watch.stop(job.feed.events, windows_of_skus=windows), Totals(windows, events, quantity)


def _wait_for(word: bytes, program: "subprocess.Popen[bytes]", output: IO[bytes]) -> list[bytes]:
    """The rest of the next line that begins with this word; other lines are the engine's own."""
    for line in output:
        if line.split()[:1] == [word]:
            return line.split()[1:]
        sys.stderr.buffer.write(line)
    raise RivalFailed(f"it ended with exit code {program.wait()} before it said {word.decode()!r}")
