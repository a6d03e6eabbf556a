"""Turns an orderly feed into one as it arrives: shuffled, late, doubled, with rubbish in between. All from a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.feed import TimedLine

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Disorder:
    """How a feed arrives. Fractions are probabilities per event.

    An event that is not late arrives at most `max_out_of_orderness_ms` of event time behind the newest one before it,
    in the whole feed and so in every partition of it. A late one arrives 1 to 5 days of event time behind its place.
    """

    max_out_of_orderness_ms: int
    late_fraction: float = 0.0
    duplicate_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what is not a bound or a probability.

        Raises:
            ValueError: the bound is negative, or a fraction is outside [0, 1].
        """
        if self.max_out_of_orderness_ms < 0:
            raise ValueError("max_out_of_orderness_ms is negative")
        if not (0 <= self.late_fraction <= 1 and 0 <= self.duplicate_fraction <= 1):
            raise ValueError("a fraction is outside [0, 1]")


@dataclass(frozen=True, slots=True)
class DisorderedFeed:
    """Lines in the order of their arrival, and how many of them are late, second copies, or malformed."""

    lines: tuple[bytes, ...]
    late: int
    duplicates: int
    malformed: int


def disordered(
    events: Sequence[TimedLine], disorder: Disorder, *, seed: int, malformed: Sequence[bytes] = ()
) -> DisorderedFeed:
    """Every event at least once and every malformed line exactly once; half of the second copies are late.

    Arrival is event time plus a delay. Whatever arrived before an event has an event time of at most that event's
    arrival, so a delay within the bound keeps the disorder within the bound.
    """
    rng = random.Random(seed)
    arrivals: list[tuple[int, bytes]] = []
    late = duplicates = 0
    for time_ms, line in events:
        is_late = rng.random() < disorder.late_fraction
        arrivals.append((time_ms + _delay(rng, disorder, is_late), line))
        late += is_late
        if rng.random() < disorder.duplicate_fraction:
            arrivals.append((time_ms + _delay(rng, disorder, rng.random() < 0.5), line))
            duplicates += 1
    first, last = (events[0].event_time_ms, events[-1].event_time_ms) if events else (0, 0)
    arrivals.extend((rng.randint(first, last), line) for line in malformed)
    arrivals.sort(key=lambda arrival: arrival[0])
    return DisorderedFeed(tuple(line for _, line in arrivals), late, duplicates, len(malformed))


def _delay(rng: random.Random, disorder: Disorder, late: bool) -> int:
    if late:
        return rng.randint(DAY_MS, 5 * DAY_MS)
    return rng.randint(0, disorder.max_out_of_orderness_ms)
