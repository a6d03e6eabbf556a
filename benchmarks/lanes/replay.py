"""The dead-letter desk sends letters back to their topics: how many a second, each with its entry in the audit log.

There is no rate limit and no recipe, and nobody follows the verdicts: what is measured is the reading of the letters
and the transactions that send them.
"""

import asyncio
import json
import os
from collections import Counter

from benchmarks.job import Job, LaneFailed, in_a_process_of_its_own
from benchmarks.letters import PARTITIONS, fill
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.world import own_environment, pipeline_topics
from console.desk.letter_filter import LetterFilter
from console.desk.replay_job import ReplayJob
from console.desk.replay_order import ReplayOrder
from console.desk.wanted import WantedLetters
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.sources import Source
from schemas.topics import TopicRole

LETTERS = int(os.environ.get("BENCH_REPLAYED", "100000"))


def run(job: Job) -> Measurement:
    """Fill the dead-letter topic, replay all of it, count what arrived."""
    partitions = {source.value.replace("-", "_"): PARTITIONS for source in Source}
    os.environ.update(own_environment(job, VELOCITY_TOPICS__PARTITIONS=json.dumps(partitions)))
    settings = Settings()
    with pipeline_topics(settings):
        in_a_process_of_its_own(fill, LETTERS)
        letters = asyncio.run(WantedLetters.find(settings, LetterFilter()))
        watch = Stopwatch(broker_pid=job.broker_pid)
        watch.start()
        replay = ReplayJob(settings, ReplayOrder(why="bench"), letters.read())
        asyncio.run(replay.run())
        measured = watch.stop(LETTERS)
        asyncio.run(verify(settings))
        return measured


async def verify(settings: Settings) -> None:
    """
    Raises:
        LaneFailed: a letter was not sent, or twice, or the audit log does not say so.
    """
    sent = Counter[bytes | None]()
    for source in Source:
        async for records in read_topic(settings.kafka, settings.topics.source_topic(source)):
            sent.update(record.value for record in records)
    audit_log = settings.topics.name(TopicRole.AUDIT_LOG)
    entries = sum([len(records) async for records in read_topic(settings.kafka, audit_log)])
    if (len(sent), sent.total(), entries) != (LETTERS, LETTERS, LETTERS):
        raise LaneFailed(f"{sent.total():,} records, {len(sent):,} different, {entries:,} entries of {LETTERS:,}")
