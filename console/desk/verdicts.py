"""What became of records that were sent: did the worker take them, or refuse them again? Pure.

A record T/P/O is judged once the frontier record of T/P has a position beyond O. It has failed again if the dead-letter
topic then has a letter T/P/O: both were committed in one transaction, so there is no moment in which it is unclear.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.dead_letters import DeadLetter
from schemas.records import parse_partition_key


@dataclass(slots=True)
class Verdicts:
    """Records on their way, and the verdicts that have come. Places are `topic/partition/offset`."""

    judged: int = 0
    failed: int = 0
    failed_by_class: Counter[str] = field(default_factory=Counter[str])
    sample: str = ""  # a record that failed again, and why
    _waiting: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _refused: dict[str, DeadLetter] = field(default_factory=dict[str, DeadLetter])

    @property
    def outstanding(self) -> int:
        """Records without a verdict."""
        return sum(map(len, self._waiting.values()))

    @property
    def partitions(self) -> list[str]:
        """Source partitions of which verdicts are outstanding."""
        return sorted(key for key, offsets in self._waiting.items() if offsets)

    def expect(self, place: str) -> None:
        """A record was sent there."""
        key, offset = parse_partition_key(place)
        heapq.heappush(self._waiting[key], offset)

    def refused(self, letter: DeadLetter) -> None:
        """A dead letter has arrived. Only those of replayed records matter: they have an attempt behind them."""
        if letter.attempts > 1:
            self._refused[letter.id] = letter

    def due(self, positions: Mapping[str, int]) -> bool:
        """Whether these positions, by source partition, pass a record that waits."""
        return any(offsets and positions.get(key, 0) > offsets[0] for key, offsets in self._waiting.items())

    def settle(self, positions: Mapping[str, int]) -> None:
        """Judge what these positions pass. Letters that were committed with or before them must have been told."""
        for key, offsets in self._waiting.items():
            while offsets and positions.get(key, 0) > offsets[0]:
                self._judge(f"{key}/{heapq.heappop(offsets)}")

    def _judge(self, place: str) -> None:
        self.judged += 1
        letter = self._refused.pop(place, None)
        if letter is not None:
            self.failed += 1
            self.failed_by_class[letter.error_class.value] += 1
            self.sample = self.sample or f"{place}: {letter.error_class.value} at {letter.path}: {letter.message}"
