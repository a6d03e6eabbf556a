"""How groups of dead letters and their counts are shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from console.desk.expiry import Retention, time_left
from console.desk.indexed import GroupSummary, LetterCounts, State, Trend
from console.screen import Cell
from runtime.settings import Settings
from schemas.instants import rfc3339
from schemas.sources import Source

TREND_HOURS = 24
GROUP_COLUMNS = (
    *("group", "class", "path", "pattern", "producer", "source", "letters", "waiting"),
    *("first seen", "last seen", f"last {TREND_HOURS} h", "expires in"),
)
_BARS = "▁▂▃▄▅▆▇█"


def source_of(settings: Settings, topic: str) -> str:
    """The source that a topic is of; the topic's own name where it is none here."""
    return next((one.value for one in Source if settings.topics.source_topic(one) == topic), topic)


def json_counts(settings: Settings, counts: LetterCounts, retention: Retention, expiring: int) -> dict[str, object]:
    """The stable shape of `dlq stats --json`: `total`, `by_class`, and more. `expiring` ones wait and are soon gone."""
    by_source = dict[str, int]()
    for topic, count in counts.by_topic.items():
        name = source_of(settings, topic)
        by_source[name] = by_source.get(name, 0) + count
    expires_at = retention.expires_at(counts.oldest_waiting)
    return {
        "total": counts.total,
        "by_class": dict(sorted(counts.by_class.items())),
        "by_source": dict(sorted(by_source.items())),
        **{
            state.value: counts.by_state[state]
            for state in (State.REPLAYED, State.DISCARDED, State.PARKED, State.WAITING)
        },
        "waiting_by_class": dict(sorted(counts.waiting_by_class.items())),
        "chains": counts.chains,
        "unreadable": counts.unreadable,
        "expired": counts.expired,
        "expired_waiting": counts.expired_waiting,
        "expiring": expiring,
        "retention_ms": retention.ms,
        "oldest_waiting": _instant(counts.oldest_waiting),
        "oldest_expires_at": _instant(expires_at),
    }


def json_group(settings: Settings, one: GroupSummary, trend: Trend, retention: Retention, now: int) -> dict[str, Any]:
    """What `dlq groups --json` says of a group; `trend` are letters an hour, the newest last."""
    return {
        "id": one.id,
        "source": source_of(settings, one.group.topic),
        **one.group._asdict(),
        "letters": one.letters,
        **{state.value: count for state, count in one.by_state.items()},
        "first_seen": rfc3339(one.first_seen),
        "last_seen": rfc3339(one.last_seen),
        "oldest_waiting": _instant(one.oldest_waiting),
        "expires_at": _instant(retention.expires_at(one.oldest_waiting)),
        "expires_soon": retention.is_near(one.oldest_waiting, now),
        "trend": trend.counts(now, TREND_HOURS),
    }


def group_row(settings: Settings, one: GroupSummary, trend: Trend, retention: Retention, now: int) -> tuple[Cell, ...]:
    """The cells of `GROUP_COLUMNS`."""
    group = one.group
    return (
        one.id,
        group.error_class,
        group.path,
        group.pattern,
        group.producer,
        source_of(settings, group.topic),
        one.letters,
        one.waiting,
        rfc3339(one.first_seen),
        rfc3339(one.last_seen),
        sparkline(trend.counts(now, TREND_HOURS)),
        time_left(retention.expires_at(one.oldest_waiting), now),
    )


def sparkline(counts: Sequence[int]) -> str:
    """One bar a count, as high as it is beside the highest; a dot for none."""
    highest = max(counts, default=0)
    return "".join(_BARS[(count * len(_BARS) - 1) // highest] if count else "·" for count in counts)


def expiry_warning(expiring: int, oldest: int | None, retention: Retention, now: int) -> str | None:
    """What a person must be told before it is too late; None where there is time."""
    expires_at = retention.expires_at(oldest)
    if not expiring or expires_at is None:
        return None
    left = time_left(expires_at, now)
    when = "may be removed at any moment" if expires_at <= now else f"is removed in {left}"
    return (
        f"{expiring:,} waiting dead letters pass the topic's retention within 14 days, the oldest {when}: "
        "replay or discard them, or raise retention.ms of the topic"
    )


def class_rows(counts: LetterCounts, meanings: Mapping[str, str]) -> list[tuple[Cell, ...]]:
    """Class, letters, those that wait, meaning; the most frequent first."""
    found = counts.by_class.most_common()
    return [(name, count, counts.waiting_by_class[name], meanings[name]) for name, count in found]


def _instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
