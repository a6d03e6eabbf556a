"""The fake WMS as a process, to try a delivery by hand: `python -m sandbox.wms --port 9000 --fault error=0.1`.

It listens on loopback alone, and says what it has whenever that changes. What it knows is gone when it ends.
"""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sandbox.wms.faults import Fault, FaultScript
from sandbox.wms.server import FakeWms

LOOK_S = 1.0


def share_of(text: str) -> tuple[Fault, float]:
    """`error=0.1` → the fault and the share of requests that it befalls."""
    name, _, share = text.partition("=")
    try:
        return Fault(name), float(share)
    except ValueError as error:
        known = ", ".join(Fault)
        raise argparse.ArgumentTypeError(f"{text!r} is not like error=0.1; there are {known}") from error


async def serve(script: FaultScript, port: int) -> None:
    """Take chunks for ever."""
    async with FakeWms(script, port) as wms:
        print(f"a fake WMS takes chunks at {wms.url}; Ctrl-C ends it", flush=True)  # noqa: T201
        said = standing_of(wms)
        while True:
            await asyncio.sleep(LOOK_S)
            if (now := standing_of(wms)) != said:
                said = now
                print(now, flush=True)  # noqa: T201


def standing_of(wms: FakeWms) -> str:
    """What it has, and what it answered: 0 is a connection that it ended."""
    again = sum(applied.again for applied in wms.applied.values())
    answers = ", ".join(f"{status} {count:,} times" for status, count in sorted(wms.statuses.items()))
    return f"{len(wms.rows):,} rows by {len(wms.applied):,} chunks, {again:,} of them sent again; answers: {answers}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.wms", description="A fake WMS that takes coefficients.")
    parser.add_argument("--port", type=int, default=9000, help="of 127.0.0.1; default: %(default)s")
    parser.add_argument(
        "--fault", type=share_of, action="append", default=[], metavar="NAME=SHARE",
        help=f"the share of requests that something befalls, may be repeated: {', '.join(Fault)}",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of which requests that are; default: %(default)s")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before each answer")
    asked = parser.parse_args(arguments)
    script = FaultScript(dict(asked.fault), seed=asked.seed, latency_s=asked.latency)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(script, asked.port))


if __name__ == "__main__":
    main()
