"""How far event time has come in one source partition, and whether the partition is idle.

No clock is read here: `now` is passed in. All times are UTC milliseconds.

1. F, the *frontier*, is the event time up to which windows are closed. It never goes back.
2. M is the latest event time seen. Records move F to M - `max_out_of_orderness`, through `observe`.
3. A partition is *idle* when its position has reached an end offset that was fetched after M had been unchanged for
   `idle_timeout`, and M is still unchanged. A flood of malformed or late records does not move M, so it does not keep
   a partition awake; a consumer that is merely slow has not reached the end, so it is not idle.
4. Under policy `advance` an idle partition's F follows the wall clock, but only while M is near the wall clock or no
   event was ever seen: during a backfill of old events the wall clock says nothing.
"""

from dataclasses import dataclass
from typing import Literal

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ClockRules:
    """The settings that move a frontier, in milliseconds."""

    max_out_of_orderness_ms: int
    idle_timeout_ms: int
    idle_policy: Literal["advance", "hold"]
    longest_window_ms: int


@dataclass(slots=True)
class EventClock:
    """F, M and idleness of one source partition."""

    rules: ClockRules
    frontier: int | None = None
    max_event_time: int | None = None
    idle: bool = False
    _quiet_since: int | None = None
    _probed_end: int | None = None

    def observe(self, latest_event_time: int) -> bool:
        """Take the latest event time of accepted records; returns whether F moved."""
        if self.max_event_time is not None and latest_event_time <= self.max_event_time:
            return False
        self.max_event_time = latest_event_time
        self._quiet_since = self._probed_end = None
        self.idle = False
        return self.advance_to(latest_event_time - self.rules.max_out_of_orderness_ms)

    def advance_to(self, instant: int) -> bool:
        """Move F forward to `instant`, never back; returns whether it moved."""
        if self.frontier is not None and instant <= self.frontier:
            return False
        self.frontier = instant
        return True

    def wants_probe(self, now: int) -> bool:
        """Whether an end offset should be fetched now: M has been unchanged for long enough."""
        if self._quiet_since is None:
            self._quiet_since = now
        return self._probed_end is None and now - self._quiet_since >= self.rules.idle_timeout_ms

    def probed(self, end_offset: int, asked_with: int | None) -> None:
        """An end offset has come; `asked_with` is M when it was asked for. Of no use if M has moved since."""
        if asked_with == self.max_event_time:
            self._probed_end = end_offset

    def settle_idleness(self, position: int, now: int) -> bool:
        """Decide whether the partition is idle, and let F follow the wall clock if so; returns whether F moved."""
        self.idle = self._probed_end is not None and position >= self._probed_end
        if not self.idle or not self._follows_wall_clock(now):
            return False
        return self.advance_to(now - self.rules.max_out_of_orderness_ms)

    def _follows_wall_clock(self, now: int) -> bool:
        if self.rules.idle_policy == "hold":
            return False
        if self.max_event_time is None:
            return True
        near = DAY_MS + self.rules.longest_window_ms + self.rules.max_out_of_orderness_ms
        return abs(now - self.max_event_time) <= near
