"""How the embedded broker is configured: one KRaft node, broker and controller in one, on the loopback only."""

from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"

_HEAP = ("-Xms128m", "-Xmx512m")
#: For measurements: the whole JIT and the collector that Kafka's own start script chooses.
FULL_JVM = (*_HEAP, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
#: For what lives a minute, tests and the demo: starts a third faster, and stays slower.
FAST_START_JVM = (*_HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

#: slf4j-simple writes to standard error, which is the broker's log file.
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

_SINGLE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}
_SMALL_AND_PROMPT = {
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",  # so that a test need not wait 6 s for a dead worker
    "broker.session.timeout.ms": "4000",  # a killed broker's successor waits until its registration has expired
    "broker.heartbeat.interval.ms": "1000",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),  # the default takes 128 MB of the heap
}


def broker_properties(
    data_dir: Path, port: int, controller_port: int, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The broker's `server.properties`; `extra` wins.

    Raises:
        ValueError: Kafka would read the data directory's path as several (`log.dirs` is a comma-separated list).
    """
    if "," in str(data_dir):
        raise ValueError(f"Kafka cannot keep its data in a path with a comma: {data_dir}")
    return {
        **_SINGLE_NODE,
        **_SMALL_AND_PROMPT,
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(data_dir / "log"),
        **(extra or {}),
    }


def render(properties: Mapping[str, str]) -> str:
    """Java properties text; backslashes in values are escaped."""
    return "".join(f"{name}={value}\n" for name, value in properties.items()).replace("\\", "\\\\")
