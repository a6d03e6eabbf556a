"""A request is made again when that can help, after as long as the other side needs, and not for ever."""

from datetime import UTC, datetime

import pytest

from batcher.delivery.retries import Failure, FailureKind, Retries, RetryRules, failure_of, parse_retry_after

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
TRANSIENT = Failure(FailureKind.TRANSIENT, "connection reset")
THROTTLED = Failure(FailureKind.THROTTLED, "too many requests", 429)


def waits(failure: Failure, dice: float = 0.0, rules: RetryRules | None = None) -> list[float]:
    """Every wait until it is given up."""
    retries, found = Retries(rules or RetryRules()), list[float]()
    while (wait_s := retries.wait_after(failure, dice)) is not None:
        found.append(wait_s)
    assert retries.attempts == len(found) + 1
    return found


def test_transient_failures_are_retried_three_times_after_powers_of_two() -> None:
    """After 1, 2 and 4 seconds."""
    assert waits(TRANSIENT) == [1, 2, 4]


def test_throttling_waits_longer_each_time_up_to_half_a_minute() -> None:
    """min(1.5 · 2ⁿ, 30) s."""
    assert waits(THROTTLED) == [1.5, 3, 6, 12, 24, 30, 30, 30]


def test_jitter_only_adds() -> None:
    """Up to a quarter: a client never comes back before it was told to."""
    for plain, jittered in zip(waits(THROTTLED), waits(THROTTLED, dice=0.999), strict=True):
        assert plain < jittered <= 1.25 * plain


def test_the_servers_own_wait_counts_within_a_bound() -> None:
    """One that asks for an hour is asked again after five minutes."""
    told = Failure(FailureKind.THROTTLED, "", 429, retry_after_s=7)
    hour = Failure(FailureKind.THROTTLED, "", 429, retry_after_s=3600)
    assert (waits(told)[0], waits(hour)[0]) == (7, 300)


def test_a_server_that_is_down_may_say_for_how_long() -> None:
    """A 503 with `Retry-After` is asked again no sooner, and no sooner than without; by chance a little later."""
    told = failure_of(503, "", {"Retry-After": "3"}, NOW)
    hour = failure_of(503, "", {"Retry-After": "3600"}, NOW)
    assert told and hour
    assert (waits(told), waits(told, dice=1.0)) == ([3, 3, 4], [3.75, 3.75, 4])
    assert waits(hour) == [300] * 3


def test_attempts_in_an_outage_end_too() -> None:
    """A request that probes an endpoint which stays away is given up, however its other attempts fared."""
    retries, told = Retries(RetryRules(outage_retries=2)), Failure(FailureKind.TRANSIENT, "", 503, retry_after_s=7)
    assert retries.wait_after(TRANSIENT, 0.0) == 1
    assert [retries.wait_in_outage(failure, 0.0) for failure in (TRANSIENT, told, TRANSIENT)] == [0, 7, None]
    assert retries.attempts == 4


def test_a_refused_request_is_never_made_again() -> None:
    """The same request would be refused again."""
    assert waits(Failure(FailureKind.REFUSED, "no such site", 404)) == []


def test_each_kind_counts_by_itself() -> None:
    """Being told to wait does not use up the attempts of a bad connection."""
    retries = Retries(RetryRules())
    for _ in range(5):
        assert retries.wait_after(THROTTLED, 0.0) is not None
    assert [retries.wait_after(TRANSIENT, 0.0) for _ in range(4)] == [1, 2, 4, None]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, FailureKind.THROTTLED),
        (408, FailureKind.TRANSIENT),
        (500, FailureKind.TRANSIENT),
        (503, FailureKind.TRANSIENT),
        (400, FailureKind.REFUSED),
        (404, FailureKind.REFUSED),
        (302, FailureKind.REFUSED),
    ],
)
def test_a_status_says_whether_to_try_again(status: int, kind: FailureKind) -> None:
    """As in the module's table."""
    failure = failure_of(status, "", {}, NOW)
    assert failure is not None
    assert (failure.kind, failure.status) == (kind, status)


def test_success_is_no_failure() -> None:
    """Any 2xx."""
    assert [failure_of(status, "", {}, NOW) for status in (200, 201, 204)] == [None, None, None]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 3 ", 3),
        ("Sun, 29 Mar 2026 01:31:30 GMT", 90),
        ("Sun, 29 Mar 2026 01:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    """RFC 9110; whatever else stands there is as good as nothing."""
    assert parse_retry_after(text, NOW) == seconds
