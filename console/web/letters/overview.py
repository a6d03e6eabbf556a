"""What the lists of groups and letters show, made of what the index says. Pure."""

from collections.abc import Mapping, Sequence

from console.desk.expiry import Retention, time_left
from console.desk.indexed import HOUR_MS, GroupSummary, IndexedLetter, Trend
from console.web.charts import Chart, Series
from console.web.tables import Column, Row
from console.web.visible import clipped, one_line, visible
from schemas.instants import rfc3339
from schemas.sources import Source

SPARK_BINS = 28
SPARK_BIN_MS = 6 * HOUR_MS
SPARK_MS = SPARK_BINS * SPARK_BIN_MS
SPARK_WIDTH, SPARK_HEIGHT = 112, 24
CHART_BINS, FEWEST_BARS = 120, 23

GROUP_COLUMNS = (
    Column("group", "Group", code=True),
    Column("error_class", "Class"),
    Column("path", "Path", code=True),
    Column("pattern", "Pattern", code=True),
    Column("producer", "Producer"),
    Column("source", "Source"),
    Column("waiting", "Waiting", numeric=True),
    Column("letters", "Letters", numeric=True),
    Column("trend", "Last 7 days"),
    Column("expires_at", "Expires (UTC)"),
    Column("first_seen", "First seen (UTC)"),
    Column("last_seen", "Last seen (UTC)"),
)

LETTER_COLUMNS = (
    Column("letter", "Letter", code=True),
    Column("state", "State"),
    Column("timestamp", "Arrived (UTC)"),
    Column("attempts", "Attempts", numeric=True),
    Column("site", "Site"),
    Column("sku", "SKU"),
    Column("message", "Message"),
    Column("value", "Value", code=True),
)


def group_row(summary: GroupSummary, trend: Trend, topics: Mapping[str, Source], now: int, retention: Retention) -> Row:
    """A group in the list; `retention` is that of the dead-letter topic."""
    group, counts = summary.group, trend.counts(now, SPARK_BINS, SPARK_BIN_MS)
    expires_at = retention.expires_at(summary.oldest_waiting)
    return {
        "group": summary.id,
        "error_class": group.error_class,
        "path": clipped(visible(group.path), 100),
        "pattern": visible(group.pattern),
        "producer": visible(group.producer),
        "source": source_name(group.topic, topics),
        "waiting": summary.waiting,
        "letters": summary.letters,
        "trend": " ".join(map(str, counts)),
        "spark": spark_points(counts),
        "first_seen": rfc3339(summary.first_seen),
        "last_seen": rfc3339(summary.last_seen),
        "expires_at": None if expires_at is None else rfc3339(expires_at),
        "left": time_left(expires_at, now),
        "near": retention.is_near(summary.oldest_waiting, now),
    }


def source_name(topic: str, topics: Mapping[str, Source]) -> str:
    """The source of a topic; the topic itself where it is none of the sources'."""
    return topics[topic].value if topic in topics else visible(topic)


def spark_points(counts: Sequence[int]) -> str:
    """The points of a line through counts, as SVG writes them; the highest count is the full height."""
    top, step = max([*counts, 1]), SPARK_WIDTH / max(1, len(counts) - 1)
    inner = SPARK_HEIGHT - 2
    return " ".join(f"{number * step:.1f},{1 + inner - inner * count / top:.1f}" for number, count in enumerate(counts))


def trend_chart(trend: Trend, now: int) -> Chart:
    """Letters of a group over time, from the first on, in no more bars than a chart can show."""
    first = min([now - FEWEST_BARS * HOUR_MS, *trend.hours])
    hours = max(1, -(-(now - first + HOUR_MS) // (CHART_BINS * HOUR_MS)))
    bin_ms = hours * HOUR_MS
    bins = now // bin_ms - first // bin_ms + 1
    counts = trend.counts(now, bins, bin_ms) if trend.hours else []
    start = (now // bin_ms - bins + 1) * bin_ms
    return Chart(
        name="trend",
        title=f"Letters per {'hour' if hours == 1 else f'{hours} hours'}",
        x_label="Written (UTC)",
        x=[(start + number * bin_ms) / 1000 for number in range(len(counts))],
        series=[Series("letters", counts, "bars")],
        time_zone="UTC",
        height=200,
    )


def letter_row(letter: IndexedLetter) -> Row:
    """A letter in a list."""
    return {
        "letter": letter.id,
        "state": letter.state.value,
        "timestamp": rfc3339(letter.timestamp),
        "attempts": letter.attempts,
        "site": None if letter.site is None else clipped(visible(letter.site), 40),
        "sku": None if letter.sku is None else clipped(visible(letter.sku), 70),
        "message": clipped(visible(letter.message)),
        "value": one_line(letter.value),
    }
