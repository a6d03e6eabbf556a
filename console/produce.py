"""Sending lines to a source topic: byte for byte, every one accounted for."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from console.errors import CommandFailed, UsageError
from console.lines import KeyField, key_reader, read_lines
from console.progress import Meter
from runtime.connections import confluent_options
from runtime.settings import KafkaSettings, Settings
from runtime.topics import read_topics
from schemas.sources import Source
from schemas.topics import SOURCE_MAX_MESSAGE

STDIN = "-"
METER_EVERY = 1_000  # lines
FLUSH_ON_INTERRUPT_S = 10.0

_OPTIONS = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "queue.buffering.max.messages": 200_000,
    "partitioner": "murmur2_random",  # a key's partition is the one that Java's and our own producers choose
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not in the topic."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(slots=True)
class Sent:
    """What became of the lines: the broker has confirmed `delivered`; `faults` are not in the topic."""

    topic: str
    lines: int = 0
    delivered: int = 0
    faults: list[Fault] = field(default_factory=list[Fault])


class LineSender:
    """Sends lines; a context manager that waits for the broker's confirmations at its end."""

    def __init__(self, kafka: KafkaSettings, topic: str, key: KeyField, max_message: int) -> None:
        self.sent = Sent(topic)
        self._key_of = key_reader(key)
        self.max_message = max_message
        self._producer = Producer({**confluent_options(kafka), **_OPTIONS, "message.max.bytes": max_message})

    def send(self, lines: Iterable[bytes | None], file: str) -> Iterator[int]:
        """Send a file's lines; yields the bytes of each. None stands for a line that was too long to read."""
        number = 0
        for number, line in enumerate(lines, 1):
            if line is None:
                self._refuse(file, number)
                continue
            self._produce(line, partial(self._settle, file, number))
            yield len(line) + 1
        self.sent.lines += number

    def finish(self, timeout_s: float | None = None) -> int:
        """Wait for confirmations; returns how many are still missing after `timeout_s`."""
        return self._producer.flush() if timeout_s is None else self._producer.flush(timeout_s)

    def _produce(self, line: bytes, on_delivery: Callable[[KafkaError | None, Message | None], None]) -> None:
        while True:
            try:
                self._producer.produce(self.sent.topic, line, self._key_of(line), on_delivery=on_delivery)
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                on_delivery(error.args[0], None)
                return
            else:
                self._producer.poll(0)
                return

    def _settle(self, file: str, number: int, error: KafkaError | None, _: Message | None) -> None:
        if error is None:
            self.sent.delivered += 1
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._refuse(file, number)
        else:
            self.sent.faults.append(Fault(file, number, error.str()))

    def _refuse(self, file: str, number: int) -> None:
        reason = f"longer than a message of {self.sent.topic} may be (max.message.bytes {self.max_message:,})"
        self.sent.faults.append(Fault(file, number, reason))


def produce(settings: Settings, source: Source, key: KeyField, files: Sequence[str]) -> Sent:
    """Send every line of every file (`-` is standard input) to the source's topic, in order.

    Raises:
        UsageError: a file is not there; nothing was sent.
        CommandFailed: the topic is missing.
        KafkaException: the brokers do not answer.
    """
    total = _total_bytes(files)
    topic = settings.topics.source_topic(source)
    sender = LineSender(settings.kafka, topic, key, _max_message(settings, topic))
    with Meter(f"produce {source}", total=total, unit="lines") as meter:
        try:
            for name in files:
                with _opened(name) as file:
                    _send_file(sender, file, name, meter)
            sender.finish()
        except KeyboardInterrupt:
            sender.finish(FLUSH_ON_INTERRUPT_S)
            raise
        finally:
            sender.sent.faults.sort(key=lambda fault: (files.index(fault.file), fault.line))
    return sender.sent


def _send_file(sender: LineSender, file: BinaryIO, name: str, meter: Meter) -> None:
    lines, weight = 0, 0
    for size in sender.send(read_lines(file, sender.max_message), name):
        lines, weight = lines + 1, weight + size
        if lines == METER_EVERY:
            meter.advance(lines, weight)
            lines, weight = 0, 0
    meter.advance(lines, weight)


def _max_message(settings: Settings, topic: str) -> int:
    facts = read_topics(settings).get(topic)
    if facts is None:
        raise CommandFailed(f"topic {topic} is missing: run `velocity topics apply`")
    return int((facts.config or {}).get("max.message.bytes", SOURCE_MAX_MESSAGE))


def _total_bytes(files: Sequence[str]) -> int | None:
    """Bytes of all files; None where one is standard input."""
    for name in files:
        if name != STDIN and not Path(name).is_file():
            raise UsageError(f"{name}: there is no such file; nothing was sent")
    return None if STDIN in files else sum(Path(name).stat().st_size for name in files)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == STDIN:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file
