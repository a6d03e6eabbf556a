"""A replay from the command line: the letters that a filter means, with a meter, until it ends or somebody stops it."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from console import screen
from console.desk.letter_filter import LetterFilter
from console.desk.replay_job import ReplayJob
from console.desk.replay_order import ReplayOrder, ReplayProgress, State
from console.desk.replay_view import already_rows
from console.desk.wanted import WantedLetters
from console.progress import Meter
from runtime.settings import Settings


@dataclass(slots=True)
class Replayed:
    """How a replay ended. `skipped` letters had been acted on before; `already` says by whom."""

    state: State
    reason: str
    run: str
    sent: int
    skipped: int
    parked: int
    unrepairable: int
    elsewhere: int
    unmatched: int
    judged: int
    failed_again: int
    by_class: dict[str, int]
    unrepairable_by_reason: dict[str, int]
    failed_by_class: dict[str, int]
    already: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    missing: list[str] = field(default_factory=list[str])
    dry_run: bool = False


async def replay(settings: Settings, wanted: LetterFilter, order: ReplayOrder) -> Replayed:
    """Send the letters that the filter means and that nothing was done to yet. Ctrl-C stops it between transactions.

    Raises:
        CommandFailed: another replay has taken over; what was committed is not sent again. Or the index cannot be used.
        KafkaError: the broker refused, or the outcome is unknown; running again is safe.
    """
    letters = await WantedLetters.find(settings, wanted)
    job = ReplayJob(settings, order, letters.read())
    showing = asyncio.create_task(_show(job))
    with _stopped_by_ctrl_c(job):
        try:
            last = await job.run()
        finally:
            await asyncio.wait([showing], timeout=2)
            showing.cancel()
    return _result(job, last, letters.missing)


def _result(job: ReplayJob, last: ReplayProgress, missing: list[str]) -> Replayed:
    tally = job.tally
    return Replayed(
        state=last.state,
        reason=last.reason,
        run=job.id,
        sent=tally.sent,
        skipped=len(tally.leftovers),
        parked=tally.parked,
        unrepairable=tally.unrepairable,
        elsewhere=tally.elsewhere,
        unmatched=tally.unmatched,
        judged=last.judged,
        failed_again=last.failed_again,
        by_class=dict(tally.by_class),
        unrepairable_by_reason=dict(tally.reasons),
        failed_by_class=dict(job.verdicts.failed_by_class),
        already=already_rows(tally.leftovers),
        missing=missing if last.state is State.DONE else [],
    )


async def _show(job: ReplayJob) -> None:
    with Meter("replay", unit="dead letters") as meter:
        shown: State | None = None
        async for progress in job.watch(every_s=0.2):
            judged = f"{progress.judged:,} judged, {progress.failed_again:,} failed again" if progress.judged else ""
            meter.reach(progress.sent, judged)
            if progress.state is not shown and progress.state in (State.CANARY, State.FOLLOWING):
                screen.remark(f"{progress.sent:,} are sent; waiting for what the stream workers say of them")
            shown = progress.state


@contextmanager
def _stopped_by_ctrl_c(job: ReplayJob) -> Iterator[None]:
    """The first Ctrl-C stops the job where it can be gone on with; another interrupts as ever."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        screen.remark("stopping after the transaction in hand; Ctrl-C again interrupts")
        job.stop()

    try:
        loop.add_signal_handler(signal.SIGINT, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # not in the main thread: then there is no Ctrl-C
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
