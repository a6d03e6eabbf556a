"""When a site is open for a recalculation and its delivery, in instants. Pure: `now_ms` is passed in.

`rules.py` says what the rules are, `schemas/wall_spans.py` which instants a wall time is. A *night* is named by the
local day on which its off-peak window begins, and lasts until the next one begins: every local day that exists has
exactly one, also where clocks change. A blackout that ends at a wall time that exists twice ends at the second: rather
closed for an hour too long than in the way of the hour's work.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from batcher.schedule.intervals import difference, holding, union
from batcher.schedule.rules import Dated, Kind, Opening, Rules, SiteRules
from schemas.wall_spans import ONE_DAY, Interval, WallSpan, day_exists, local_date, whole_day
from schemas.windows import SiteZones

BEHIND_DAYS, AHEAD_DAYS = 2, 8
LONGEST_WAIT_DAYS = 366  # how far ahead the next opening is looked for
_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Blackout:
    """A stretch of time that is closed for a reason."""

    start_ms: int
    end_ms: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Stretches:
    """A site's time around a local day: when it is open, and when it is blacked out and for what, overlaps included."""

    open: list[Interval]
    blackouts: list[Blackout]
    closed: list[Interval]  # the blackouts, as disjoint intervals


class Calendar:
    """The schedule of all sites."""

    def __init__(self, rules: Rules | None = None, zones: SiteZones | None = None) -> None:
        self._rules, self._zones = rules or Rules(), zones or SiteZones({})
        self._around: dict[tuple[str, date], Stretches] = {}

    @property
    def named_sites(self) -> list[str]:
        """The sites that rules or the sites file name, by id."""
        return sorted({*self._rules.sites, *self._zones.names})

    @property
    def zoned_sites(self) -> frozenset[str]:
        """The sites that the sites file gives a zone."""
        return frozenset(self._zones.names)

    def zone_of(self, site_id: str) -> ZoneInfo:
        """The zone of a site's wall clock."""
        return self._zones.zone_of(site_id)

    def off_peak_of(self, site_id: str) -> WallSpan:
        """A site's off-peak window in wall time."""
        return self._rules.of(site_id).off_peak

    def open_until(self, site_id: str, now_ms: int) -> int | None:
        """The end of the open stretch that `now_ms` is in; None where the site is closed.

        A stretch that goes on for longer than a week is said to end some time after a week.
        """
        stretch = holding(self.around(site_id, local_date(now_ms, self.zone_of(site_id))).open, now_ms)
        return stretch and stretch[1]

    def next_open(self, site_id: str, now_ms: int) -> int | None:
        """The first open instant from `now_ms` on, which may be itself; None without one within a year."""
        day = local_date(now_ms, self.zone_of(site_id))
        for _ in range(0, LONGEST_WAIT_DAYS, AHEAD_DAYS):
            for start_ms, end_ms in self.around(site_id, day).open:
                if end_ms > now_ms:
                    return max(start_ms, now_ms)
            day += AHEAD_DAYS * ONE_DAY
        return None

    def blacked_out_until(self, site_id: str, now_ms: int) -> int | None:
        """The end of the blackouts that `now_ms` is in, one running into the next; None outside of any."""
        stretch = holding(self.around(site_id, local_date(now_ms, self.zone_of(site_id))).closed, now_ms)
        return stretch and stretch[1]

    def kinds_at(self, site_id: str, now_ms: int) -> list[Kind]:
        """What the site is blacked out for; nothing outside of any blackout."""
        around = self.around(site_id, local_date(now_ms, self.zone_of(site_id)))
        return list(dict.fromkeys(b.kind for b in around.blackouts if b.start_ms <= now_ms < b.end_ms))

    def night_of(self, site_id: str, now_ms: int) -> date:
        """The local day of the last off-peak window that has begun."""
        zone, span = self.zone_of(site_id), self.off_peak_of(site_id)
        day = local_date(now_ms, zone) + ONE_DAY  # across midnight clocks may go back into the day before
        while not day_exists(day, zone) or span.on(day, zone)[0] > now_ms:
            day -= ONE_DAY
        return day

    def off_peak_window(self, site_id: str, night: date) -> Interval:
        """The off-peak window of a night, blackouts left aside; it ends when the next one begins, if not before."""
        zone, span = self.zone_of(site_id), self.off_peak_of(site_id)
        start_ms, end_ms = span.on(night, zone)
        return start_ms, min(end_ms, span.on(self.night_after(site_id, night), zone)[0])

    def night_after(self, site_id: str, night: date) -> date:
        """The next night's name."""
        return _step(night, ONE_DAY.days, self.zone_of(site_id))

    def night_before(self, site_id: str, night: date) -> date:
        """The name of the night before."""
        return _step(night, -ONE_DAY.days, self.zone_of(site_id))

    def is_open_within(self, site_id: str, interval: Interval) -> bool:
        """Whether any instant of an interval, of a week at most, is open."""
        stretches = self.around(site_id, local_date(interval[0], self.zone_of(site_id))).open
        return any(start < interval[1] and interval[0] < end for start, end in stretches)

    def around(self, site_id: str, day: date) -> Stretches:
        """A site's time from two days before a local day to a week after it."""
        found = self._around.get((site_id, day))
        if found is None:
            if len(self._around) >= _REMEMBERED:
                self._around = {}  # not emptied: another thread may be reading it
            found = self._around[site_id, day] = self._stretches(site_id, day)
        return found

    def _stretches(self, site_id: str, day: date) -> Stretches:
        zone, rules = self.zone_of(site_id), self._rules.of(site_id)
        days = [day + number * ONE_DAY for number in range(-BEHIND_DAYS, AHEAD_DAYS + 1)]
        days = [one for one in days if day_exists(one, zone)]
        openings = union(_on(rule, rule.day, zone) for rule in rules.openings if rule.day in days)
        dated = [Blackout(*_on(rule, rule.day, zone), rule.kind) for rule in rules.dated if rule.day in days]
        weekly = [part for one in days for part in _weekly(rules, one, zone, openings)]
        blackouts = sorted([*weekly, *dated], key=lambda one: (one.start_ms, one.end_ms))
        closed = union((one.start_ms, one.end_ms) for one in blackouts)
        off_peak = [self.off_peak_window(site_id, one) for one in days]
        return Stretches(difference(union([*off_peak, *openings]), closed), blackouts, closed)


def _on(rule: Dated | Opening, day: date, zone: ZoneInfo) -> Interval:
    """The instants of a dated rule."""
    return rule.span.on(day, zone, to_last=isinstance(rule, Dated)) if rule.span else whole_day(day, zone)


def _weekly(rules: SiteRules, day: date, zone: ZoneInfo, openings: Iterable[Interval]) -> list[Blackout]:
    """The weekly blackouts that begin on a day, without what a dated opening takes out of them."""
    openings = list(openings)
    return [
        Blackout(*part, rule.kind)
        for rule in rules.weekly
        if day.weekday() in rule.weekdays
        for part in difference([rule.span.on(day, zone, to_last=True)], openings)
    ]


def _step(night: date, days: int, zone: ZoneInfo) -> date:
    """The nearest day that exists, after or before."""
    night += days * ONE_DAY
    while not day_exists(night, zone):
        night += days * ONE_DAY
    return night
