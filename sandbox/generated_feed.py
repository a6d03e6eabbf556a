"""A generated feed of what the retail sample lacks: two sites in different zones, several units, book quantities.

The same arguments give the same bytes. The default 70 days contain the change to summer time of both zones. Event ids
are unique within (source, site) only: both sites count from one. Some SKUs come in lower case or with blanks around
them, some times in UTC, some with microseconds, as different senders would have it.
"""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import msgspec

from sandbox.catalogue import (
    Article,
    catalogue,
    channels_csv,
    csv_text,
    items_csv,
    promotions_csv,
    seasons_csv,
)
from sandbox.feed import Feed, TimedLine
from schemas.sources import Source

SITES = {"US-NY1": ZoneInfo("America/New_York"), "DE-FR1": ZoneInfo("Europe/Berlin")}
_SITE_WEIGHTS = (3, 2)
_HOUR_WEIGHTS = [1] * 6 + [6] * 4 + [10] * 8 + [5] * 4 + [1] * 2  # 24ths of a day; the night shift is thin
_CHANNELS = ("web", "store", "b2b", None)
_REASONS = ("damaged", "wrong size", "beschädigt – Ecke", "", None)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode

Event = dict[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class GeneratedFeed:
    """The events per source by event time, and the reference files that give them meaning.

    With `items_csv` alone, facts of some units are held; `late_items_csv` resolves every one of them and converts
    some others anew, retroactively.
    """

    lines: Feed
    sites_csv: str
    items_csv: str
    late_items_csv: str
    promotions_csv: str
    channels_csv: str
    seasons_csv: str


def generated_feed(
    events: int = 20_000, *, seed: int = 20250215, first_day: date = date(2025, 2, 15), days: int = 70, skus: int = 96
) -> GeneratedFeed:
    """`events` lines on the days `[first_day, first_day + days)` of each site: 88 % orders, 8 % returns, 4 % counts."""
    rng = random.Random(seed)
    articles = catalogue(rng, skus, days)
    generator = _Generator(rng, articles, first_day, days)
    returns, counts = events * 8 // 100, events * 4 // 100
    lines = {
        Source.ORDERS: generator.orders(events - returns - counts),
        Source.RETURNS: generator.returns(returns),
        Source.CYCLE_COUNTS: generator.cycle_counts(counts),
    }
    sites = tuple(SITES)
    middle = _utc_midnight(first_day, days // 2)
    return GeneratedFeed(
        lines={source: sorted(timed, key=lambda event: event.event_time_ms) for source, timed in lines.items()},
        sites_csv=csv_text(("site_id", "time_zone"), [(site, zone.key) for site, zone in SITES.items()]),
        items_csv=items_csv(articles, middle, late=False),
        late_items_csv=items_csv(articles, middle, late=True),
        promotions_csv=promotions_csv(sites, articles, lambda day: _utc_midnight(first_day, day)),
        channels_csv=channels_csv(sites, middle),
        seasons_csv=seasons_csv(sites, articles),
    )


class _Generator:
    """Draws events; every draw comes from one random generator, so the order of the calls is part of the result."""

    def __init__(self, rng: random.Random, articles: list[Article], first_day: date, days: int) -> None:
        self._rng = rng
        self._days = days
        self._midnights = {
            site: [_site_midnight(first_day, day, zone) for day in range(days + 1)] for site, zone in SITES.items()
        }
        self._on_sale = [
            [article for article in articles if article.first_day <= day < article.end_day] for day in range(days)
        ]
        self._cumulated = [list(accumulate(article.weight for article in on_sale)) for on_sale in self._on_sale]
        self._serial: Counter[tuple[str, str]] = Counter()

    def orders(self, count: int) -> list[TimedLine]:
        """Order lines, one to six to an order, picked within minutes of each other."""
        lines: list[TimedLine] = []
        while len(lines) < count:
            lines.extend(self._order(min(self._rng.randint(1, 6), count - len(lines))))
        return lines

    def returns(self, count: int) -> list[TimedLine]:
        """Return lines; some do not know their order."""
        return [self._return() for _ in range(count)]

    def cycle_counts(self, count: int) -> list[TimedLine]:
        """Counted differences, most with a book quantity, some of which are zero."""
        return [self._cycle_count() for _ in range(count)]

    def _order(self, line_count: int) -> Iterator[TimedLine]:
        site, day, time_ms = self._moment()
        order_id = self._next_id(site, "O")
        channel = self._rng.choice(_CHANNELS)
        for line in range(1, line_count + 1):
            time_ms += self._rng.randrange(120_000)
            article = self._article(day)
            uom = self._rng.choice(article.kind.uoms)
            event = self._common(f"{order_id}-{line}", site, article, time_ms)
            event |= {"quantity": self._quantity(uom), "uom": uom, "order_id": order_id, "line": line}
            event |= {"channel": channel, "promo_id": self._rng.choice(("SPRING", "SOLO", "UNLISTED", None, None))}
            yield TimedLine(time_ms, _encode(event))

    def _return(self) -> TimedLine:
        site, day, time_ms = self._moment()
        article = self._article(day)
        uom = self._rng.choice(article.kind.uoms)
        return_id = self._next_id(site, "R")
        event = self._common(f"{return_id}-1", site, article, time_ms)
        event |= {"quantity": self._quantity(uom), "uom": uom}
        if self._rng.random() < 0.7:
            event |= {"order_id": f"O{self._rng.randint(1, 999):06d}", "line": self._rng.randint(1, 6)}
        event |= {"channel": self._rng.choice(_CHANNELS), "return_id": return_id, "reason": self._rng.choice(_REASONS)}
        return TimedLine(time_ms, _encode(event))

    def _cycle_count(self) -> TimedLine:
        site, day, time_ms = self._moment()
        article = self._article(day)
        uom = self._rng.choice(article.kind.uoms)
        count_id = self._next_id(site, "K")
        book = self._rng.choice((None, 0, *[round(self._quantity(uom) * 10, 3)] * 8))
        variance = round(self._quantity(uom) * self._rng.choice((0, -1, 1, 30)), 3)  # 30: a pallet turns up
        event = self._common(f"{count_id}-1", site, article, time_ms)
        event |= {"uom": uom, "count_id": count_id, "variance": variance, "book_quantity": book}
        event |= {"location_id": f"A-{self._rng.randint(1, 40):02d}", "reason": self._rng.choice(_REASONS)}
        return TimedLine(time_ms, _encode(event))

    def _moment(self) -> tuple[str, int, int]:
        """A site, a day of the feed, and UTC milliseconds within it that leave an order its twelve minutes."""
        site = self._rng.choices(tuple(SITES), _SITE_WEIGHTS)[0]
        day = self._rng.randrange(self._days)
        start, end = self._midnights[site][day : day + 2]
        hour = self._rng.choices(range(24), _HOUR_WEIGHTS)[0] + self._rng.uniform(0, 0.75)
        return site, day, start + int(hour * (end - start) / 24)  # a day of 23 or 25 hours has shorter or longer ones

    def _article(self, day: int) -> Article:
        cumulated = self._cumulated[day]
        return self._on_sale[day][bisect_left(cumulated, self._rng.random() * cumulated[-1])]

    def _common(self, event_id: str, site: str, article: Article, time_ms: int) -> Event:
        spelling = self._rng.choices((article.sku, article.sku.lower(), f" {article.sku} "), (96, 2, 2))[0]
        return {"event_id": event_id, "site_id": site, "sku": spelling, "event_time": self._written(site, time_ms)}

    def _written(self, site: str, time_ms: int) -> str:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
        style = self._rng.random()
        if style < 0.1:
            return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"
        if style < 0.2:
            moment += timedelta(microseconds=self._rng.randrange(1, 1000))  # truncated by the reader
            return moment.astimezone(SITES[site]).isoformat(timespec="microseconds")
        return moment.astimezone(SITES[site]).isoformat(timespec="milliseconds")

    def _quantity(self, uom: str) -> int | float:
        if uom == "KGM":
            return round(self._rng.uniform(0.001, 20), 3)
        if uom in {"EA", "PK"}:
            return min(int(self._rng.paretovariate(1.2)), 5_000)
        return self._rng.choice((1, 2, 3, 4.0, 0.5))

    def _next_id(self, site: str, prefix: str) -> str:
        self._serial[site, prefix] += 1
        return f"{prefix}{self._serial[site, prefix]:06d}"


def _site_midnight(first_day: date, day: int, zone: ZoneInfo) -> int:
    """UTC milliseconds of the beginning of a day at a site."""
    wall = datetime.combine(first_day + timedelta(days=day), datetime.min.time(), zone)
    return (wall - _EPOCH) // timedelta(milliseconds=1)


def _utc_midnight(first_day: date, day: int) -> str:
    return f"{first_day + timedelta(days=day)}T00:00:00Z"
