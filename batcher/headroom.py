"""What a worker may begin with the memory that is left below its limit. Pure.

Shares are of the limit of resident memory, `batch.rss_limit`:

1. A group of batches has at most as many records as fit below `HOLD`, at `RECORD_BYTES` each; at least one batch.
2. From `RELIEVE` on, what can be dropped is dropped: see `memory.py`.
3. From `HOLD` on no file is begun until memory is below `RELIEVE` again; what is in hand is finished.
4. Each `PATIENCE_S` that it holds it begins one batch all the same: slowly is better than never.
"""

from dataclasses import dataclass, field

RELIEVE = 0.80
HOLD = 0.90
PATIENCE_S = 1.0
#: What a record takes while its group is read, waits and is inserted: its file, its columns, DuckDB's row groups, and
#: the two other groups that are on their way at the same time. An estimate on the safe side.
RECORD_BYTES = 1_500


@dataclass
class Headroom:
    """Knows the limit, and since when nothing may be begun, in seconds of a clock that only goes forward."""

    limit_bytes: int
    held_since_s: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.limit_bytes < 1:
            raise ValueError("a limit of memory must leave some")

    def look(self, memory_bytes: int, now_s: float) -> bool:
        """Whether to hold, with so much memory in use."""
        share = memory_bytes / self.limit_bytes
        if self.held_since_s is None and share >= HOLD:
            self.held_since_s = now_s
        elif self.held_since_s is not None and share < RELIEVE:
            self.held_since_s = None
        return self.held_since_s is not None

    def records(self, memory_bytes: int, most: int, now_s: float) -> int | None:
        """How many records the next group may have, up to `most`; 1 is one batch, None is not to begin yet."""
        self.look(memory_bytes, now_s)
        if self.held_since_s is None:
            return max(1, min(most, int((HOLD * self.limit_bytes - memory_bytes) / RECORD_BYTES)))
        if now_s - self.held_since_s < PATIENCE_S:
            return None
        self.held_since_s = now_s
        return 1

    def is_short(self, memory_bytes: int) -> bool:
        """Whether what can be dropped should be."""
        return memory_bytes >= RELIEVE * self.limit_bytes
