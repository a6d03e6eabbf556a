"""The journal of a data set: what was answered, so that after a crash only the rest is asked for again.

A line is `<CRC-32 of the rest, 8 hexadecimal digits> <JSON>`: first the data set's name and question, then one for each
finished chunk. Lines are only ever added, each by one write. Nothing is forced to the disk, for nothing rests on that:
a line that is lost or torn is of a chunk that is asked for once more.
"""

import fcntl
import os
import zlib
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from batcher.compute_chunks import Answer, Chunk, Pin, Question, Row, WrongAnswer, read_rows

VERSION = 1


class JournalRefused(ValueError):
    """The file is no journal of this data set, or another process writes it."""


class _Header(msgspec.Struct, frozen=True):
    journal: int
    data_set: str
    question: Question
    batch_size: int


class _Line(msgspec.Struct, frozen=True):
    chunk: int
    request_id: str
    site_id: str
    as_of: str
    run_id: str
    results: msgspec.Raw


class Journal:
    """An open journal; `data_set` and `pin` are those of the lines that were there."""

    def __init__(self, path: Path, file: BinaryIO, data_set: str) -> None:
        """Use `open`."""
        self.data_set, self.pin = data_set, None
        self._path, self._file = path, file
        self._places: dict[str, tuple[int, int]] = {}  # request id → where its line is, and how long

    pin: Pin | None

    @classmethod
    def open(cls, path: Path, data_set: str, question: Question, batch_size: int) -> Self:
        """Go on with a journal, or begin one for a data set of this name.

        Raises:
            JournalRefused: it is about another question, it is damaged, or it is in use.
        """
        file = path.open("a+b", buffering=0)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise JournalRefused(f"{path} is being written by another process") from error
            journal = cls(path, file, data_set)
            journal._read(_Header(VERSION, data_set, question, batch_size))
            return journal
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Let others have it."""
        self._file.close()

    def begin_again(self, data_set: str, question: Question, batch_size: int) -> None:
        """Forget all chunks: what comes is another calculation."""
        self._file.truncate(0)
        self._places.clear()
        self.data_set, self.pin = data_set, None
        self._add(_Header(VERSION, data_set, question, batch_size))

    def rows_of(self, chunk: Chunk) -> list[Row] | None:
        """The results of a finished chunk; None if it has to be asked for."""
        if chunk.request_id not in self._places:
            return None
        start, size = self._places[chunk.request_id]
        line = _line(os.pread(self._file.fileno(), size, start))
        try:
            return None if line is None else read_rows(bytes(line.results), chunk.skus)
        except WrongAnswer:
            return None

    def finished(self, chunk: Chunk, answer: Answer) -> None:
        """Remember an answer."""
        pin = answer.pin
        results = msgspec.Raw(answer.content)
        self._add(_Line(chunk.number, chunk.request_id, pin.site_id, pin.as_of, pin.run_id, results))

    def _read(self, wanted: _Header) -> None:
        self._file.seek(0)
        end = 0
        with open(self._file.fileno(), "rb", closefd=False) as lines:
            for number, text in enumerate(lines):
                if not text.endswith(b"\n"):
                    break  # torn by a crash
                if number == 0:
                    self._take_header(text, wanted)
                elif line := _line(text):
                    self._places[line.request_id] = (end, len(text))
                    self.pin = self.pin or Pin(line.site_id, line.as_of, line.run_id)
                end += len(text)
        self._file.truncate(end)
        if not end:
            self._add(wanted)

    def _take_header(self, text: bytes, wanted: _Header) -> None:
        try:
            found = msgspec.json.decode(_content(text) or b"", type=_Header)
        except msgspec.DecodeError as error:
            raise JournalRefused(f"{self._path} is no journal, or its beginning is damaged: name another") from error
        if (found.journal, found.question, found.batch_size) != (wanted.journal, wanted.question, wanted.batch_size):
            raise JournalRefused(
                f"{self._path} is of {_described(found)}, not of {_described(wanted)}: ask as before, or name another"
            )
        self.data_set = found.data_set

    def _add(self, line: _Header | _Line) -> None:
        content = msgspec.json.encode(line)
        self._file.write(b"%08x %b\n" % (zlib.crc32(content), content))


def _content(text: bytes) -> bytes | None:
    """The JSON of a line; None if it is not what was written."""
    content = text[9:].rstrip(b"\n")
    return content if text[:9] == b"%08x " % zlib.crc32(content) else None


def _line(text: bytes) -> _Line | None:
    content = _content(text)
    try:
        return msgspec.json.decode(content, type=_Line) if content else None
    except msgspec.DecodeError:
        return None


def _described(header: _Header) -> str:
    question = header.question
    where = f"site {question.site_id or 'not named'}, as of {question.as_of or 'the newest run'}"
    return f"{question.window}, {where}, chunks of {header.batch_size}"
