"""Reading dead letters for the index: in this process, or where there are many in some beside it, one a core.

Reading and parsing a letter takes longer than inserting it, and partitions need not wait for each other.
"""

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

import msgspec
from msgspec.structs import replace

from console.desk.letter_process import LENGTH, Failed, Message, Offsets, Order, framed, read_ordered
from console.desk.letter_rows import Stretch, stretch_of
from console.errors import CommandFailed
from runtime.settings import Settings
from schemas.topics import TopicRole

MANY = 50_000  # letters for which other processes, which start in half a second, are worth it
READERS = 3  # of some 65 MB each; more would read faster than one can insert
COMMAND = (sys.executable, "-P", "-m", "console.desk.letter_process")
_RECEIVED = 1 << 20  # bytes of a process that wait here to be taken


def read_letters(settings: Settings, starts: Offsets, ends: Offsets) -> AsyncGenerator[Stretch, None]:
    """The committed records of the dead-letter topic over `[starts[p], ends[p])`, each partition in order.

    To be closed at once where it is not read to its end, for it may have processes.

    Raises:
        CommandFailed: a process that reads was ended from outside, or failed.
        KafkaError: the brokers do not answer.
    """
    order = Order(
        access=settings.kafka.access,
        topic=settings.topics.name(TopicRole.DEAD_LETTERS),
        producer_header=settings.desk.producer_header,
        starts=starts,
        ends={number: end for number, end in ends.items() if end > starts[number]},
        lean=settings.stream.lean_records,
    )
    many = sum(end - starts[number] for number, end in order.ends.items()) >= MANY
    return _read_beside(_shared_out(order)) if many else _read_here(order)


async def _read_here(order: Order) -> AsyncGenerator[Stretch, None]:
    """In a thread, for others may wait for this process's event loop."""
    async with aclosing(read_ordered(order)) as read:
        async for partition, records in read:
            yield await asyncio.to_thread(stretch_of, partition, records, order.producer_header)


def _shared_out(order: Order) -> list[Order]:
    """The partitions of an order, among as many processes as it is worth."""
    numbers = [*order.ends]
    many = min(len(numbers), os.cpu_count() or 1, READERS)
    return [replace(order, ends={number: order.ends[number] for number in numbers[n::many]}) for n in range(many)]


async def _read_beside(orders: list[Order]) -> AsyncGenerator[Stretch, None]:
    readers = list[_Reader]()
    receiving = dict[asyncio.Task[Stretch | None], _Reader]()
    try:
        for order in orders:
            readers.append(await _Reader.start(order))
        receiving.update({asyncio.create_task(reader.receive()): reader for reader in readers})
        while receiving:
            done, _ = await asyncio.wait(receiving, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                reader, stretch = receiving.pop(task), task.result()
                if stretch is not None:
                    receiving[asyncio.create_task(reader.receive())] = reader  # while this one is inserted
                    yield stretch
    finally:
        for reader in readers:
            reader.kill()
        for task in receiving:
            task.cancel()
        await asyncio.gather(*receiving, return_exceptions=True)  # a pipe has one reader at a time
        await asyncio.gather(*(reader.ended() for reader in readers))


class _Reader:
    """A process that reads some partitions."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._decode = msgspec.msgpack.Decoder(Message).decode

    @classmethod
    async def start(cls, order: Order) -> Self:
        """Start it. A key pressed to interrupt us does not reach it: it ends when we end it, or when we are gone."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=PIPE, stdout=PIPE, limit=_RECEIVED, start_new_session=True
        )
        assert process.stdin is not None
        process.stdin.write(framed(order))
        return cls(process)

    async def receive(self) -> Stretch | None:
        """The next stretch; None after the last one.

        Raises:
            CommandFailed: it was ended from outside, or failed.
            KafkaError: the brokers do not answer it.
        """
        received = self._process.stdout
        assert received is not None
        try:
            length = int.from_bytes(await received.readexactly(LENGTH), "big")
            message = self._decode(await received.readexactly(length))
        except asyncio.IncompleteReadError:
            raise CommandFailed(await self._why_it_ended()) from None
        if isinstance(message, Failed):
            raise pickle.loads(message.error)
        return message

    async def _why_it_ended(self) -> str:
        code = await self._process.wait()
        if code < 0:
            return f"a process that reads dead letters was ended from outside, by signal {-code}: run the command again"
        return f"a process that reads dead letters failed with exit code {code}; what it said is above"

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> None:
        """Wait for its end; that takes reading what it has sent, for its pipe may be full."""
        await self._process.communicate()
