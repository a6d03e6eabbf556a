"""When a request is made again, and when never. Pure: the caller has the clock and the dice.

| what came back | kind | again |
|---|---|---|
| 2xx | an answer | |
| 429 | `THROTTLED` | after `Retry-After`, else after min(1.5 · 2ⁿ, 30) s; 8 times |
| no connection, no answer in time, half an answer, 408, 5xx | `TRANSIENT` | after 2ⁿ s, or `Retry-After`; 3 times |
| the same while the endpoint's circuit is not closed | | once that permits it, or after `Retry-After`; 20 times |
| any other status | `REFUSED` | never |

n counts from 0, of each kind by itself. What a server asks for and what a throttled request waits is up to a quarter
longer, by chance; no `Retry-After` shortens a wait, and one of more than five minutes is taken for five.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum


class FailureKind(StrEnum):
    """What a failure means for the next attempt."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that came to nothing: `status` is the HTTP status, None where there was no whole answer."""

    kind: FailureKind
    reason: str
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often and after how long; times in seconds."""

    throttled_retries: int = 8
    throttled_base_s: float = 1.5
    longest_throttled_s: float = 30.0
    longest_retry_after_s: float = 300.0  # what a server asks for beyond that is not waited for
    transient_retries: int = 3
    transient_base_s: float = 1.0
    outage_retries: int = 20  # of a request that failed as a probe, or while its endpoint was given up
    jitter: float = 0.25  # of a wait that others may share, at most that share more

    def __post_init__(self) -> None:
        if min(self.throttled_retries, self.transient_retries, self.outage_retries) < 0:
            raise ValueError("a number of retries cannot be negative")
        if min(self.throttled_base_s, self.transient_base_s, self.longest_throttled_s, self.longest_retry_after_s) <= 0:
            raise ValueError("a wait must be longer than nothing, or retries would be a flood")
        if self.jitter < 0:
            raise ValueError("jitter may only make a wait longer: the other side has said when to come back")


@dataclass(slots=True)
class Retries:
    """The attempts at one request."""

    rules: RetryRules
    attempts: int = 1
    _failed: Counter[FailureKind] = field(default_factory=Counter[FailureKind])
    _in_outages: int = 0

    def wait_after(self, failure: Failure, dice: float) -> float | None:
        """How many seconds to wait before the next attempt, which is then counted; None: give up.

        `dice` is a random number of `[0, 1)`.
        """
        before, rules = self._failed[failure.kind], self.rules
        self._failed[failure.kind] += 1
        match failure.kind:
            case FailureKind.THROTTLED if before < rules.throttled_retries:
                backoff_s = min(rules.throttled_base_s * 2.0**before, rules.longest_throttled_s) * _jitter(rules, dice)
                wait_s = backoff_s if failure.retry_after_s is None else _told_wait(rules, failure, dice)
            case FailureKind.TRANSIENT if before < rules.transient_retries:
                wait_s = max(rules.transient_base_s * 2.0**before, _told_wait(rules, failure, dice))
            case _:
                return None
        self.attempts += 1
        return wait_s

    def wait_in_outage(self, failure: Failure, dice: float) -> float | None:
        """The same after a failure that was the endpoint's: its circuit, which is waited for besides, is not closed."""
        self._in_outages += 1
        if self._in_outages > self.rules.outage_retries:
            return None
        self.attempts += 1
        return _told_wait(self.rules, failure, dice)


def failure_of(status: int, reason: str, headers: Mapping[str, str], now: datetime) -> Failure | None:
    """What a status other than 2xx means; None for a 2xx. `now` is for a `Retry-After` that names a date."""
    if 200 <= status < 300:
        return None
    kind = FailureKind.TRANSIENT if status >= 500 or status == 408 else FailureKind.REFUSED
    if status == 429:
        kind = FailureKind.THROTTLED
    return Failure(kind, reason, status, parse_retry_after(headers.get("Retry-After"), now))


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds from now, of a header that has seconds or an HTTP date (RFC 9110, 10.2.3); None if it says neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _told_wait(rules: RetryRules, failure: Failure, dice: float) -> float:
    """What the server asked for, within bounds; 0 where it did not."""
    return min(failure.retry_after_s or 0.0, rules.longest_retry_after_s) * _jitter(rules, dice)


def _jitter(rules: RetryRules, dice: float) -> float:
    return 1 + rules.jitter * dice
