"""The process that reads dead letters beside the one that writes the index.

`python -m console.desk.letter_process` is told on its standard input what to read. On its standard output it answers
with messages, each behind its length: stretches, then `None`; or why it could not go on. It loads neither settings nor
logs, for that would take it longer than thirty thousand letters.
"""

import asyncio
import fcntl
import gc
import logging
import os
import pickle
import sys
from contextlib import aclosing, suppress

import msgspec

from console.desk.letter_rows import Stretch, stretch_of
from runtime.consumers import read_partitions
from runtime.kafka_access import KafkaAccess

STRETCH = 2_000  # letters in one transaction of the index
LENGTH = 4  # bytes in front of a message
_PIPE = 1 << 20  # bytes: a whole stretch, so that the next one is read while the index takes this one

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


async def _answer(order: Order) -> None:
    """All in one thread: nothing else waits for it, and to hand a stretch to another takes a millisecond."""
    read = read_partitions(
        order.access, order.topic, starts=order.starts, ends=order.ends, at_most=STRETCH, lean=order.lean
    )
    try:
        async with aclosing(read):
            async for partition, records in read:
                _send(stretch_of(partition, records, order.producer_header))
        _send(None)
    except BrokenPipeError:
        raise
    except Exception as error:
        _send(Failed(pickle.dumps(error)))


def _send(message: Message) -> None:
    data = msgspec.msgpack.encode(message)
    sys.stdout.buffer.write(len(data).to_bytes(LENGTH, "big"))
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def main() -> None:
    """Read what was ordered, until that is sent or nobody is there any more."""
    gc.disable()  # a record has dozens of objects and none is part of a cycle: looking for some takes half of the time
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # whoever started us says what is wrong
    with suppress(OSError):  # more than this user may have
        fcntl.fcntl(sys.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    try:
        asyncio.run(_answer(order))
    except BrokenPipeError:
        os._exit(1)  # what is still to be flushed has nobody to go to


if __name__ == "__main__":
    main()
