"""A whole pipeline in a test: its own topics on the shared broker, its own store, real worker processes."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import fastavro
from command_line import Ended, run_here
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from runtime.settings import Settings
from runtime.topics import apply, plan_topics
from sandbox.kafka.probe import free_port
from schemas.codecs import decode
from schemas.dead_letters import DeadLetter
from schemas.records import Frontier, Manifest
from schemas.sources import Source

RUN = [sys.executable, "-m", "console.main"]
FAST = {
    "VELOCITY_STREAM__CHECKPOINT_INTERVAL": "PT0.3S",
    "VELOCITY_STREAM__RETRY_BACKOFF": "PT0.3S",
    "VELOCITY_KAFKA__SESSION_TIMEOUT": "PT6S",
    "VELOCITY_WINDOW__IDLE_POLICY": "hold",
    "VELOCITY_LOG__FORMAT": "console",
    "VELOCITY_STREAM__HTTP_PORT": "0",
}


@dataclass
class WorkerProcess:
    """A worker under test and the file that its log goes to."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, within_s: float = 10.0) -> int:
        """SIGTERM; returns the exit code, which must come in time."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")


@dataclass
class PipelineWorld:
    """Topics under a prefix of their own, a store, and the workers that were started."""

    bootstrap: str
    name: str
    directory: Path
    partitions: int = 2
    extra: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    @classmethod
    def whole(cls, bootstrap: str, directory: Path, partitions: int, environment: dict[str, str]) -> Self:
        """With its topics, and an address for its batch worker."""
        world = cls(bootstrap, directory.name, directory, partitions)
        world.extra = {"VELOCITY_API__URL": f"http://127.0.0.1:{free_port()}", **environment}
        world.apply_topics()
        return world

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this world is started with."""
        ours = {
            "VELOCITY_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "VELOCITY_KAFKA__STREAM_GROUP": f"{self.name}-stream",
            "VELOCITY_KAFKA__BATCH_GROUP": f"{self.name}-batch",
            "VELOCITY_TOPICS__PREFIX": f"{self.name}.",
            "VELOCITY_TOPICS__PARTITIONS": json.dumps(
                {"orders": self.partitions, "returns": self.partitions, "cycle_counts": self.partitions}
            ),
            "VELOCITY_STORE__URL": str(self.directory / "store"),
            "VELOCITY_STATE_DIR": str(self.directory / "state"),
        }
        base = {name: value for name, value in os.environ.items() if not name.startswith("VELOCITY_")}
        return {**base, **ours, **FAST, **self.extra}

    def settings(self, **environment: str) -> Settings:
        """What a process of this world reads from its environment, and from what is added to that."""
        with patch.dict(os.environ, {**self.environment, **environment}, clear=True):
            return Settings()

    def apply_topics(self) -> None:
        """As `velocity topics apply` does, without a process for it, which would take longer than all the rest."""
        settings = self.settings()
        apply(settings, plan_topics(settings).differences)

    def topic(self, name: str) -> str:
        """The full name of a topic such as `velocity.batches.v1`."""
        return f"{self.name}.{name}"

    def source_topic(self, source: Source) -> str:
        """The full name of a source's topic."""
        return self.topic(f"wms.{source.value}.v1")

    # -- processes ---------------------------------------------------------------------------------------------------

    def run(self, *command: str, check: bool = True) -> Ended:
        """Run a command of the command line to its end, within this process."""
        ended = run_here(command, self.environment, self.directory)
        if check and ended.returncode:
            failed = f"velocity {' '.join(command)}: exit {ended.returncode}\n{ended.output}"
            raise AssertionError(f"{failed}\n{self.logs}")
        return ended

    def run_apart(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a process of its own, which may be killed."""
        return subprocess.run(
            [*RUN, *command],
            check=False,
            env=self.environment,
            cwd=self.directory,
            text=True,
            capture_output=True,
            timeout=120,
        )

    def drain(self, *options: str, stop: bool = False, within_s: int = 60) -> None:
        """Close all windows, and with `stop` wait for the end of the workers, who might else take what is sent next.

        A drain that takes too long says who it waits for.
        """
        self.run("drain", "--timeout", f"PT{within_s}S", *options, *(["--stop"] if stop else []))
        for worker in self.workers if stop else ():
            worker.process.wait(30)

    @property
    def logs(self) -> str:
        """How each worker ended, if it did, and the end of its log."""
        return "\n".join(f"{w.log.name}: exit {w.process.poll()}\n{w.text[-1500:]}" for w in self.workers)

    def json(self, *command: str) -> Any:
        """Run a command with `--json` and parse what it prints."""
        return json.loads(self.run(*command, "--json").stdout)

    def start(self, command: str, worker_id: str, **environment: str) -> WorkerProcess:
        """Start `stream` or `batch`."""
        log = self.directory / f"{command}-{worker_id}-{len(self.workers)}.log"
        env = {
            **self.environment,
            "VELOCITY_WORKER_ID": worker_id,
            "VELOCITY_STATE_DIR": str(self.directory / f"state-{worker_id}"),
            **environment,
        }
        with log.open("wb") as out:
            process = subprocess.Popen([*RUN, command], env=env, cwd=self.directory, stdout=out, stderr=out)
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        """End every worker that still runs."""
        for worker in self.workers:
            if worker.running:
                worker.resume()
                worker.kill()

    # -- what goes in ------------------------------------------------------------------------------------------------

    def produce(self, source: Source, lines: Iterable[bytes], partition: int = -1) -> None:
        """Send lines as they are; keyless, so round about, unless a partition is given."""
        self.produce_from(source, ((line, None) for line in lines), partition)

    def produce_from(self, source: Source, lines: Iterable[tuple[bytes, str | None]], partition: int = -1) -> None:
        """Send lines, each with its producer's name as a header if it has one."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 20,
                "sticky.partitioning.linger.ms": 0,  # else all of a short burst go to one partition
                "message.max.bytes": 2 << 20,
            }
        )
        topic = self.source_topic(source)
        for line, name in lines:
            headers = [("producer", name.encode())] if name else None
            while True:
                try:
                    producer.produce(topic, line, partition=partition, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush(30)

    # -- what came out -----------------------------------------------------------------------------------------------

    def read(self, topic: str, *, isolation: str = "read_committed") -> list[Any]:
        """Every committed message of a topic, partition after partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.name}-reader",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "fetch.queue.backoff.ms": 2,
            }
        )
        try:
            partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
            return self._read_to_ends(consumer, topic, partitions)
        finally:
            consumer.close()

    @staticmethod
    def _read_to_ends(consumer: Consumer, topic: str, partitions: list[int]) -> list[Any]:
        found: dict[int, list[Any]] = {partition: [] for partition in partitions}
        unread, deadline = set(partitions), time.monotonic() + 30
        while unread and time.monotonic() < deadline:
            for message in consumer.consume(10_000, timeout=0.05):
                if message.error() is None:
                    found[message.partition()].append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
        assert not unread, f"{topic}: partitions {unread} could not be read to their ends"
        return [message for partition in partitions for message in found[partition]]

    def manifests(self) -> list[Manifest]:
        """All manifests."""
        return [decode(message.value(), Manifest) for message in self.read(self.topic("velocity.batches.v1"))]

    def frontiers(self) -> dict[str, Frontier]:
        """The last frontier record of each source partition."""
        records = (decode(m.value(), Frontier) for m in self.read(self.topic("velocity.frontiers.v1")))
        return {record.key: record for record in records}

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters."""
        messages = self.read(self.topic("velocity.dead-letters.v1"))
        return [DeadLetter.from_record(message.value(), tuple(message.headers())) for message in messages]

    def rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        """The records of a batch file, read by fastavro."""
        data = (self.directory / "store" / manifest.path).read_bytes()
        return list(fastavro.reader(io.BytesIO(data)))

    def whereabouts(self) -> dict[str, Counter[int]]:
        """How often each offset stands in a batch, correction or dead letter, per source partition."""
        seen: dict[str, Counter[int]] = defaultdict(Counter)
        for manifest in self.manifests():
            key = f"{manifest.source_topic}/{manifest.source_partition}"
            seen[key].update(row["source_offset"] for row in self.rows(manifest))
        for letter in self.dead_letters():
            seen[f"{letter.topic}/{letter.partition}"][letter.offset] += 1
        return dict(seen)

    def assert_each_offset_once(self) -> int:
        """Every record of the sources is in exactly one batch, correction or dead letter; returns their number."""
        seen = self.whereabouts()
        total = 0
        for source in Source:
            for message in self.read(self.source_topic(source)):
                key = f"{message.topic()}/{message.partition()}"
                assert seen[key].pop(message.offset(), 0) == 1, f"{key}/{message.offset()} is not there exactly once"
                total += 1
        leftovers = {key: dict(counter) for key, counter in seen.items() if counter}
        assert not leftovers, f"offsets that the sources do not have: {leftovers}"
        return total


def order_lines(count: int, *, site: str = "A", start_ms: int = 1_700_000_000_000, step_ms: int = 1000) -> list[bytes]:
    """Valid order events, one each `step_ms` of event time, with distinct ids."""
    return [
        json.dumps(
            {
                "event_id": f"{site}-{number}",
                "site_id": site,
                "sku": f"S{number % 50}",
                "event_time": f"{datetime.fromtimestamp((start_ms + number * step_ms) / 1000, UTC).isoformat()}",
                "quantity": 1 + number % 7,
                "uom": "EA",
                "order_id": f"o{number // 3}",
                "line": 1 + number % 3,
            }
        ).encode()
        for number in range(count)
    ]


def until(claim: Any, within_s: float = 30.0, every_s: float = 0.2) -> Any:
    """Call `claim` until it returns something true; its last value."""
    deadline = time.monotonic() + within_s
    while True:
        value = claim()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(every_s)
