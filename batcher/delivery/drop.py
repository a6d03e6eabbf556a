"""Files in which chunks wait while no endpoint takes them: one each, whole or not there, named by the chunk's key."""

import os
from collections.abc import Collection
from pathlib import Path

from batcher.delivery.chunks import Chunk

_SUFFIX = ".json"


class Drop:
    """The directory of one sink: `DIRECTORY/SINK/KEY.json`. Calls block.

    Every method raises `OSError` where the disk is full or does not answer.
    """

    def __init__(self, directory: Path, sink: str) -> None:
        self._directory = directory / sink

    def put(self, chunk: Chunk, body: bytes) -> None:
        """Write the chunk; on return it is on disk."""
        self._directory.mkdir(parents=True, exist_ok=True)
        write_whole(self._file(chunk.key), body)

    def remove(self, chunk: Chunk) -> None:
        """The chunk is where it belongs."""
        self._file(chunk.key).unlink(missing_ok=True)

    def keep_only(self, keys: Collection[str]) -> None:
        """Remove the files of chunks that are in hand no more, and what a crash left half written."""
        if self._directory.is_dir():
            for file in self._directory.iterdir():
                if file.suffix in (_SUFFIX, ".tmp") and file.name.removesuffix(_SUFFIX) not in keys:
                    file.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._directory / f"{key}{_SUFFIX}"


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees a part of it; on return it is on disk under its name."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
