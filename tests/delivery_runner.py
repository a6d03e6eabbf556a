"""A process that delivers what is due and ends: `python delivery_runner.py DIRECTORY SETTINGS_AS_JSON`."""

import asyncio
import json
import sys
from pathlib import Path

from delivery_world import DeliveryWorld


async def main(directory: Path, sink: str) -> None:
    async with DeliveryWorld(directory, json.loads(sink)) as world:
        standing = await world.visit()
        sys.stdout.write(json.dumps(standing.chunks) + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
