"""Reading whole dead letters from their places in the topic: the index holds but the beginnings of their values."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from console.desk.index import DeskIndex, place_numbers
from console.desk.indexed import State
from console.desk.letter_filter import LetterFilter
from console.desk.places import Place
from runtime.consumers import POLL_MS, reading
from runtime.settings import Settings
from runtime.threads import to_its_end
from runtime.topic_reader import topic_bounds
from schemas.dead_letters import DeadLetter
from schemas.topics import TopicRole

#: Places so near to each other are read in one go: to seek costs a request, to read on little.
NEAR = 200


async def whole_letters(settings: Settings, places: Iterable[Place]) -> AsyncGenerator[tuple[Place, DeadLetter], None]:
    """The letters at these places, those of a partition in the order of offsets; what is gone meanwhile is left out.

    Memory holds one fetch besides the places. Each partition is read once from its first place on, with a seek over
    every wide gap.

    Raises:
        KafkaError, KafkaException: the brokers do not answer.
    """
    topic = settings.topics.name(TopicRole.DEAD_LETTERS)
    wanted = dict[int, list[int]]()
    for partition, offset in places:
        wanted.setdefault(partition, []).append(offset)
    if not wanted:
        return
    bounds = (await topic_bounds(settings.kafka, [topic]))[topic]
    async with reading(settings.kafka.access) as consumer:
        for partition, offsets in sorted(wanted.items()):
            if partition not in bounds:
                continue
            begin, end = bounds[partition]
            there = sorted(offset for offset in offsets if begin <= offset < end)
            async for found in _letters_of(consumer, TopicPartition(topic, partition), there):
                yield found


async def _letters_of(
    consumer: AIOKafkaConsumer, tp: TopicPartition, offsets: list[int]
) -> AsyncIterator[tuple[Place, DeadLetter]]:
    consumer.assign([tp])
    for stretch in _stretches(offsets):
        wanted = set(stretch)
        consumer.seek(tp, stretch[0])
        while await consumer.position(tp) <= stretch[-1]:
            for record in (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, ()):
                if record.offset in wanted:
                    letter = letter_of(record.value, tuple(record.headers))
                    if letter is not None:
                        yield Place(tp.partition, record.offset), letter


def letter_of(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> DeadLetter | None:
    """The letter in a record; None if it is none of ours."""
    try:
        return DeadLetter.from_record(value, headers)
    except ValueError:
        return None


def _stretches(offsets: Sequence[int]) -> Iterator[Sequence[int]]:
    """Runs of offsets, given in their order, that are near to each other."""
    begun = 0
    for n in range(1, len(offsets) + 1):
        if n == len(offsets) or offsets[n] - offsets[n - 1] > NEAR:
            yield offsets[begun:n]
            begun = n


async def text_search(
    settings: Settings, index: DeskIndex, wanted: LetterFilter, states: Collection[State] = ()
) -> set[int]:
    """Letters that have the wanted text where the index does not hold their value: `confirmed` of its methods.

    Nothing is read where no text is wanted, or where all values are held whole.
    """
    text = (wanted.text or "").encode("utf-8", "replace")
    unsure = await to_its_end(index.unsure, wanted, states)
    found = [place async for place, letter in whole_letters(settings, unsure) if text in (letter.value or b"")]
    return place_numbers(found)
