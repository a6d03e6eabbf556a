"""Fetches Apache Kafka's jars from Maven Central and verifies them against `jars.txt`.

`jars.txt` pins every jar of the broker by coordinate and SHA-256, so nothing is resolved on a user's machine: a cold
start downloads 56 MB, a warm one hashes them (0.1 s). jgo does the downloading only: its `build()` would fetch a whole
JDK to classify the jars, and its own downloads leave a truncated jar behind when interrupted and merely warn of a wrong
checksum.

`python -m sandbox.kafka.install` resolves `ENDPOINT` afresh and prints a new `jars.txt`.
"""

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

KAFKA_VERSION = "4.1.1"
ENDPOINT = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
    f"+org.apache.kafka:kafka-tools:{KAFKA_VERSION}"
    "+org.slf4j:slf4j-simple:1.7.36"  # the broker's log; without a backend Kafka fails without a word
)
DOWNLOADS_AT_ONCE = 8
ATTEMPTS = 3

#: Called with (jars present, jars in all) whenever one more is there.
Progress = Callable[[int, int], None]


class KafkaInstallError(RuntimeError):
    """Apache Kafka could not be fetched from the network."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned Maven artifact; `sha256` is 64 hexadecimal digits."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where Maven, jgo and we keep it: below `M2_REPO`, or `~/.m2/repository`."""
        folder = repository().joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"

    def is_intact(self) -> bool:
        """Whether the file is there with the pinned content."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def repository() -> Path:
    """The local Maven repository."""
    configured = os.environ.get("M2_REPO")
    return Path(configured) if configured else Path.home() / ".m2" / "repository"


def pinned_jars() -> list[Jar]:
    """The jars of the broker, as `jars.txt` lists them."""
    return parse_pins(resources.files("sandbox.kafka").joinpath("jars.txt").read_text("utf-8"))


def parse_pins(text: str) -> list[Jar]:
    """The jars of a list: a line each, SHA-256 and `group:artifact:version`; lines that begin with # are remarks.

    Raises:
        ValueError: a line is something else.
    """
    return [_pinned(line) for line in text.splitlines() if not line.startswith("#")]


def _pinned(line: str) -> Jar:
    sha256, coordinate = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def class_path(on_progress: Progress | None = None) -> str:
    """Java's class path for the broker, after downloading what is missing or damaged.

    Raises:
        KafkaInstallError: a jar is missing and cannot be downloaded.
    """
    return class_path_of(pinned_jars(), on_progress)


def class_path_of(jars: list[Jar], on_progress: Progress | None = None) -> str:
    """Java's class path for these jars, after downloading what is missing or damaged.

    Raises:
        KafkaInstallError: a jar is missing and cannot be downloaded.
    """
    if not all(jar.is_intact() for jar in jars):
        with _one_installer_at_a_time():
            _download([jar for jar in jars if not jar.is_intact()], len(jars), on_progress)
    return os.pathsep.join(str(jar.path) for jar in jars)


@contextlib.contextmanager
def _one_installer_at_a_time() -> Iterator[None]:
    repository().mkdir(parents=True, exist_ok=True)
    with (repository() / ".velocity-kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(missing: list[Jar], total: int, on_progress: Progress | None) -> None:
    report = on_progress or (lambda present, total: None)
    present = total - len(missing)
    report(present, total)
    repositories = _remote_repositories()
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        try:
            for _ in pool.map(partial(_fetch, repositories=repositories), missing):
                present += 1
                report(present, total)
        except KafkaInstallError:
            pool.shutdown(cancel_futures=True)
            raise


def _remote_repositories() -> dict[str, str]:
    """Maven Central, after the mirrors of the user's `jgo.conf`."""
    from jgo.config import GlobalSettings  # jgo takes half a second to import: only when something is missing
    from jgo.constants import MAVEN_CENTRAL_URL

    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}


def _fetch(jar: Jar, repositories: dict[str, str]) -> None:
    from jgo.maven import MavenContext
    from requests import RequestException

    context = MavenContext(repo_cache=repository(), remote_repos=repositories)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        jar.path.unlink(missing_ok=True)  # a truncated jar would otherwise be taken for the whole one
        try:
            artifact.resolve()
        except (RequestException, RuntimeError, OSError) as error:
            failure = error
        if jar.is_intact():
            return
    reason = f"{type(failure).__name__}: {failure}" if failure else "its SHA-256 is not the pinned one"
    raise KafkaInstallError(
        f"could not download {jar.path.name} from {', '.join(repositories.values())} ({reason}). The network is "
        "needed once, for Kafka's 56 MB; behind a firewall, name a mirror under [repositories] in ~/.config/jgo.conf"
    ) from failure


def resolved_jars() -> list[Jar]:
    """`ENDPOINT` and all it depends on, resolved and downloaded now: the next `jars.txt`."""
    import jgo

    jars = []
    for artifact in jgo.resolve(ENDPOINT):
        with artifact.resolve().open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        jars.append(Jar(artifact.groupId, artifact.artifactId, artifact.version, digest))
    return sorted(jars, key=lambda jar: (jar.group, jar.artifact))


if __name__ == "__main__":
    for jar in resolved_jars():
        sys.stdout.write(f"{jar.sha256}  {jar.group}:{jar.artifact}:{jar.version}\n")
