"""How a replay goes on, in figures and sentences. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from console.desk.replay_order import ENDED, ReplayProgress, State
from console.web.letters.jobs import About
from console.web.visible import clipped, visible

TONES = {
    State.DONE: "good",
    State.STOPPED: "warn",
    State.ABORTED: "bad",
    State.FAILED: "bad",
    State.PAUSED: "warn",
}

SAID = {
    State.READY: "It is being made ready: the audit log is read to its end, so that nothing is sent twice.",
    State.SENDING: "Letters are sent back, a transaction at a time.",
    State.CANARY: "The first letters were sent; the rest waits for the verdicts of the gate on them.",
    State.PAUSED: "Nothing is sent until somebody resumes it.",
    State.FOLLOWING: "All letters were sent; it waits for the last verdicts of the gate.",
    State.DONE: "It is done: every letter that it was about has been dealt with.",
    State.STOPPED: "Somebody has stopped it.",
    State.ABORTED: "It has stopped itself.",
    State.FAILED: "It has failed.",
}

REST = "What was sent is in the audit log; the same replay again sends the rest, and nothing twice."


class Replaying(Protocol):
    """A replay, as far as it is shown."""

    @property
    def about(self) -> About:
        """What it is about."""
        ...

    @property
    def progress(self) -> ReplayProgress:
        """Where it is."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page says of a replay; `figures` are name, value, tone, and `share` is the part that was dealt with."""

    state: str
    tone: str
    said: str
    reason: str
    figures: Sequence[tuple[str, str, str]]
    done: int
    total: int
    ended: bool
    paused: bool
    unfinished: bool


def shown_progress(run: Replaying, verdict_timeout_s: float) -> Shown:
    """What is said of a replay now; the canary's verdicts may take `verdict_timeout_s`."""
    progress, state = run.progress, run.progress.state
    said = SAID[state]
    if state is State.CANARY:
        said += f" It gives up after {verdict_timeout_s:g} s."
    left = progress.skipped + progress.elsewhere
    done = progress.sent + progress.parked + progress.unrepairable + left
    return Shown(
        state=state.value,
        tone=TONES.get(state, "plain"),
        said=said,
        reason=clipped(visible(progress.reason), 1_000),
        figures=_figures(progress, left),
        done=done,
        total=max(done, run.about.letters),
        ended=state in ENDED,
        paused=state is State.PAUSED,
        unfinished=state in ENDED and state is not State.DONE,
    )


def _figures(progress: ReplayProgress, left: int) -> list[tuple[str, str, str]]:
    numbers = (
        ("sent", progress.sent, "plain"),
        ("judged", progress.judged, "plain"),
        ("failed again", progress.failed_again, "bad"),
        ("cannot be repaired", progress.unrepairable, "bad"),
        ("parked", progress.parked, "warn"),
        ("left alone", left, "plain"),
    )
    shown = [(name, f"{count:,}", tone if count else "plain") for name, count, tone in numbers]
    return [*shown, ("a second", f"{progress.rate:,.0f}", "plain")]
