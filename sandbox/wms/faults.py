"""Which request fails how: by a seed and the request's number, so that a run can be repeated. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What a WMS may do to a request. Those marked + have taken effect nonetheless: only the answer is lost."""

    ERROR = "error"  # 503
    UNAVAILABLE = "unavailable"  # 503 with Retry-After
    BROKEN = "broken"  # + 500 after the work was done
    THROTTLED = "throttled"  # 429 with Retry-After
    THROTTLED_SILENTLY = "throttled-silently"  # 429 without
    REFUSED = "refused"  # 422
    RESET = "reset"  # the connection ends before anything is read
    RESET_LATE = "reset-late"  # + the connection ends in place of an answer
    SLOW_BODY = "slow-body"  # + the answer comes octet by octet
    HALF_BODY = "half-body"  # + the answer ends in the middle
    WRONG_JSON = "wrong-json"  # + the answer is none
    NEW_VERSION = "new-version"  # + the answer has a version that nobody knows
    MISSING_FIELD = "missing-field"  # + the answer lacks a field
    CHANGED_TYPE = "changed-type"  # + a number of the answer is a text


@dataclass(frozen=True, slots=True)
class FaultScript:
    """The share of requests that each fault befalls, all together at most 1; `first` says it of the first requests."""

    shares: Mapping[Fault, float] = field(default_factory=dict[Fault, float])
    first: tuple[Fault | None, ...] = ()
    seed: int = 0
    retry_after_s: float = 1.0
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if any(share < 0 for share in self.shares.values()) or sum(self.shares.values()) > 1:
            raise ValueError("shares of requests must be from 0 to 1, all of them together, too")

    def fault_of(self, number: int) -> Fault | None:
        """What befalls the request of this number, which counts from 0."""
        if number < len(self.first):
            return self.first[number]
        drawn = int.from_bytes(hashlib.sha256(f"{self.seed}/{number}".encode()).digest()[:8], "big") / 2**64
        for fault, share in self.shares.items():
            drawn -= share
            if drawn < 0:
                return fault
        return None
