"""The process that reads dead letters beside the one that writes the index.

`python -m console.desk.letter_process` is told on its standard input what to read. On its standard output it answers
with messages, each behind its length: stretches, then `None`; or why it could not go on. It ends when its input does,
for then nobody is there any more. It loads neither settings nor logs: that would take it longer than thirty thousand
letters.
"""

import asyncio
import fcntl
import gc
import logging
import os
import pickle
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from io import BufferedWriter

import msgspec

from console.desk.letter_rows import Stretch, stretch_of
from runtime.consumers import read_partitions
from runtime.crash_points import crash_point
from runtime.kafka_access import KafkaAccess
from runtime.source_record import SourceRecord

STRETCH = 2_000  # letters in one transaction
LENGTH = 4  # bytes in front of a message, and of the order
_PIPE = 1 << 20  # bytes: a stretch of most letters, so that the next one is read while the index takes this one

Offsets = dict[int, int]  # by partition


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to read: the committed records over `[starts[p], ends[p])`, each partition in order."""

    access: KafkaAccess
    topic: str
    producer_header: str
    starts: Offsets
    ends: Offsets
    lean: bool


class Failed(msgspec.Struct, array_like=True, tag=True):
    """Why a process could not go on: a pickled exception."""

    error: bytes


Message = Stretch | Failed | None


def framed(message: Order | Message) -> bytes:
    """A message behind its length."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH, "big") + data


def read_ordered(order: Order) -> AsyncGenerator[tuple[int, Sequence[SourceRecord]], None]:
    """The records of an order, at most a stretch at a time; see `read_partitions`."""
    return read_partitions(
        order.access, order.topic, starts=order.starts, ends=order.ends, at_most=STRETCH, lean=order.lean
    )


class _NobodyListensError(Exception):
    """There is nobody to send to any more."""


async def _answer(order: Order, out: BufferedWriter) -> None:
    """All in one thread: nobody else waits for it, and to hand a stretch to another takes a millisecond."""
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 1)  # all there is to read is its end
    try:
        async with aclosing(read_ordered(order)) as read:
            async for partition, records in read:
                _send(out, stretch_of(partition, records, order.producer_header))
        _send(out, None)
    except _NobodyListensError:
        os._exit(1)  # what is still to be flushed has nobody to go to
    except Exception as error:
        _send(out, Failed(_pickled(error)))


def _send(out: BufferedWriter, message: Message) -> None:
    crash_point("letters.before_send")
    try:
        out.write(framed(message))
        out.flush()
    except BrokenPipeError:
        raise _NobodyListensError from None


def _pickled(error: Exception) -> bytes:
    """An error that can be read again, as a text if its own class cannot."""
    with suppress(Exception):
        data = pickle.dumps(error)
        pickle.loads(data)
        return data
    return pickle.dumps(RuntimeError(repr(error)))


def main() -> None:
    """Read what was ordered, until that is sent or nobody is there any more."""
    gc.disable()  # a record has dozens of objects and none is part of a cycle: looking for some takes half of the time
    logging.disable()  # whoever started us says what is wrong
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anybody prints is no message
        if sys.platform == "linux":
            with suppress(OSError):  # more than this user may have
                fcntl.fcntl(out.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        length = int.from_bytes(sys.stdin.buffer.read(LENGTH), "big")
        order = msgspec.msgpack.decode(sys.stdin.buffer.read(length), type=Order)
        asyncio.run(_answer(order, out))


if __name__ == "__main__":
    main()
