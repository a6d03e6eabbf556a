"""Reading dead letters for the index: in this process, or where there are many in some beside it, one a core.

Reading and parsing a letter takes longer than inserting it, and partitions need not wait for each other.
"""

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from multiprocessing.connection import Connection, wait

import msgspec

from console.desk.letter_rows import Stretch, stretch_of
from console.errors import CommandFailed
from runtime.settings import Settings
from runtime.topic_reader import read_partitions
from schemas.topics import TopicRole

MANY = 50_000  # letters for which other processes, which start in about a second, are worth it
READERS = 3  # of some 100 MB each; more would read faster than one can insert
STRETCH = 2_000  # letters in one transaction

Offsets = dict[int, int]  # by partition


def read_stretches(settings: Settings, starts: Offsets, ends: Offsets) -> AsyncGenerator[Stretch, None]:
    """The committed records of the dead-letter topic over `[starts[p], ends[p])`, each partition in order.

    To be closed at once where it is not read to its end, for it may have processes.

    Raises:
        CommandFailed: a process that reads was ended from outside.
        KafkaError: the brokers do not answer.
    """
    many = sum(max(0, end - starts[number]) for number, end in ends.items()) >= MANY
    return (_read_beside if many else _read_here)(settings, starts, ends)


async def _read_here(settings: Settings, starts: Offsets, ends: Offsets) -> AsyncGenerator[Stretch, None]:
    topic, header = settings.topics.name(TopicRole.DEAD_LETTERS), settings.desk.producer_header
    lean = settings.stream.lean_records
    read = read_partitions(settings.kafka, topic, starts=starts, ends=ends, at_most=STRETCH, lean=lean)
    async with aclosing(read):
        async for partition, records in read:
            yield await asyncio.to_thread(stretch_of, partition, records, header)


async def _read_beside(settings: Settings, starts: Offsets, ends: Offsets) -> AsyncGenerator[Stretch, None]:
    decode = msgspec.msgpack.Decoder(Stretch).decode
    numbers = [number for number, end in ends.items() if end > starts[number]]
    many = min(len(numbers), os.cpu_count() or 1, READERS)
    children = [_Child(settings, starts, {number: ends[number] for number in numbers[n::many]}) for n in range(many)]
    pending = set(children)
    try:
        while pending:
            for child, received in await asyncio.to_thread(_received, pending):
                if received is None:
                    pending.remove(child)
                elif isinstance(received, bytes):
                    yield decode(received)
                else:
                    raise received
    finally:
        for child in children:
            child.end()


class _Child:
    """A process that reads some partitions, and the pipe through which it sends what it read."""

    def __init__(self, settings: Settings, starts: Offsets, ends: Offsets) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_send_all, args=(settings, starts, ends, theirs), daemon=True)
        self._process.start()
        theirs.close()  # the child has its own: once that is gone, so is the child

    def fileno(self) -> int:
        """Of the pipe, to wait for."""
        return self._pipe.fileno()

    def receive(self) -> bytes | Exception | None:
        """The next stretch; None after the last one; or what went wrong."""
        try:
            return self._pipe.recv()
        except (EOFError, OSError):  # between two messages, or in one
            return CommandFailed("a process that reads dead letters was ended from outside: run the command again")

    def end(self) -> None:
        """End the process, whatever it is doing, and wait for that."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _received(children: Collection[_Child]) -> list[tuple[_Child, bytes | Exception | None]]:
    """Wait until a child has sent something; returns that, and what others have sent by then."""
    ready = wait([child.fileno() for child in children])
    return [(child, child.receive()) for child in children if child.fileno() in ready]


def _send_all(settings: Settings, starts: Offsets, ends: Offsets, pipe: Connection) -> None:
    """The child: send each stretch, then None; or the error that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever reads from us ends us
    gc.disable()  # a record has dozens of objects and none is part of a cycle: looking for some takes half of the time
    try:
        asyncio.run(_send_stretches(settings, starts, ends, pipe))
    except BrokenPipeError:  # nobody is there any more
        return
    except Exception as error:
        pipe.send(error)


async def _send_stretches(settings: Settings, starts: Offsets, ends: Offsets, pipe: Connection) -> None:
    encode = msgspec.msgpack.Encoder().encode
    async for stretch in _read_here(settings, starts, ends):
        pipe.send(encode(stretch))
    pipe.send(None)
