"""Bringing the index up to date: what the dead-letter topic and the audit log have beyond its positions."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path

from console.desk.index_file import index_path, is_damaged, open_file, put_aside
from console.desk.indexing import IndexMadeAnew, IndexWriter, Source
from console.desk.letter_reading import read_letters
from console.errors import CommandFailed
from runtime.connections import topic_id
from runtime.settings import Settings
from runtime.threads import to_its_end
from runtime.topic_reader import Bounds, read_topic, topic_bounds
from schemas.topics import TopicRole

ATTEMPTS = 5

#: Told how many letters there are to read in all, and how many more were read.
Progress = Callable[[int, int], None]


async def follow(settings: Settings, on_progress: Progress | None = None) -> Path:
    """Bring the pipeline's index up to what its topics hold now; returns the index's file.

    Several processes may do so at once. An index of another pipeline, or of a topic that was made anew, is begun again.

    Raises:
        CommandFailed: the file cannot be written, or is made anew by others again and again.
        RecordUnreadable: there is something else in the audit log.
        KeyError: a topic is missing.
        KafkaException, KafkaError: the brokers do not answer.
    """
    path = index_path(settings)
    source = await asyncio.to_thread(_source_of, settings)
    for _ in range(ATTEMPTS):
        connection = await asyncio.to_thread(open_file, path)
        with closing(connection):
            try:
                await _Following(settings, IndexWriter(connection, source), source, on_progress).run()
                return path
            except IndexMadeAnew:
                continue
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise CommandFailed(f"the index of dead letters {path} cannot be written: {error}") from error
                put_aside(path, error)
    raise CommandFailed(
        f"the index of dead letters {path} is made anew by others again and again: do they use one pipeline?"
    )


def _source_of(settings: Settings) -> Source:
    """What the index is made from. Blocks."""
    dead_letters, audit_log = (settings.topics.name(role) for role in (TopicRole.DEAD_LETTERS, TopicRole.AUDIT_LOG))
    identity = {
        "dead_letters": f"{dead_letters} {topic_id(settings.kafka, dead_letters)}",
        "audit_log": f"{audit_log} {topic_id(settings.kafka, audit_log)}",
        "producer_header": settings.desk.producer_header,
    }
    return Source(dead_letters, audit_log, settings.desk.producer_header, identity)


class _Following:
    """One time of bringing the index up to date."""

    def __init__(self, settings: Settings, writer: IndexWriter, source: Source, on_progress: Progress | None) -> None:
        self._settings, self._writer, self._source = settings, writer, source
        self._on_progress = on_progress or (lambda total, more: None)

    async def run(self) -> None:
        """Acts before letters, so that most letters get their state when they are added."""
        names = (self._source.audit_log, self._source.dead_letters)
        bounds = await topic_bounds(self._settings.kafka, names)
        ends = {name: {number: bound.end for number, bound in of.items()} for name, of in bounds.items()}
        positions = await to_its_end(self._writer.begin, ends)
        await self._read_acts(positions[self._source.audit_log], bounds[self._source.audit_log])
        await self._read_letters(positions[self._source.dead_letters], bounds[self._source.dead_letters])
        begins = {number: bound.begin for number, bound in bounds[self._source.dead_letters].items()}
        await to_its_end(self._writer.finish, begins, ends)

    async def _read_acts(self, positions: dict[int, int], bounds: dict[int, Bounds]) -> None:
        starts, ends = _span(positions, bounds)
        async for records in read_topic(self._settings.kafka, self._source.audit_log, starts=starts, ends=ends):
            await to_its_end(self._writer.add_acts, records)

    async def _read_letters(self, positions: dict[int, int], bounds: dict[int, Bounds]) -> None:
        starts, ends = _span(positions, bounds)
        total = sum(max(0, ends[number] - starts[number]) for number in ends)
        async with aclosing(read_letters(self._settings, starts, ends)) as stretches:
            async for stretch in stretches:
                await to_its_end(self._writer.add_letters, stretch)
                self._on_progress(total, len(stretch.letters) + len(stretch.strangers))


def _span(positions: dict[int, int], bounds: dict[int, Bounds]) -> tuple[dict[int, int], dict[int, int]]:
    """The offsets to read from and to: from the positions, or from where the log begins now if that is later."""
    starts = {number: max(bound.begin, positions.get(number, 0)) for number, bound in bounds.items()}
    return starts, {number: bound.end for number, bound in bounds.items()}
