"""The calendar against any rules, in zones whose clocks do odd things."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from batcher.schedule.calendar import Calendar
from batcher.schedule.nights import NEW, Night, State, due_night, first_entry, made_up, newly_missed
from batcher.schedule.rules import Dated, Kind, Opening, Rules, SiteRules, Weekly
from schemas.wall_spans import WallSpan, day_exists, local_date
from schemas.windows import DAY_MS, SiteZones, local_instant

MINUTE = 60_000

#: A zone, and a day around which its clocks do something.
ODD = (
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("Europe/Dublin", date(2026, 3, 29)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("America/St_Johns", date(1988, 4, 3)),  # by two hours
    ("America/St_Johns", date(1988, 10, 30)),
    ("America/St_Johns", date(2010, 11, 7)),  # back across midnight
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # by half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Pacific/Apia", date(2011, 12, 30)),  # a day left out
    ("America/Sao_Paulo", date(2018, 11, 4)),  # midnight does not exist
    ("UTC", date(2026, 6, 1)),
)

quarter_hours = st.integers(0, 95).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
spans = (
    st.tuples(quarter_hours, quarter_hours)
    .filter(lambda ends: ends[0] != ends[1])
    .map(lambda ends: WallSpan.parse("-".join(ends)))
)


@st.composite
def worlds(draw: st.DrawFn, *, blackouts: bool = True) -> tuple[Calendar, ZoneInfo, date]:
    """A calendar of site S, its zone, and the odd day."""
    zone, day = draw(st.sampled_from(ODD))
    near = st.integers(-3, 3).map(lambda days: day + timedelta(days=days))
    few = 3 if blackouts else 0
    rules = SiteRules(
        draw(spans),
        tuple(draw(st.lists(st.builds(Weekly, _weekdays, spans, _kinds), max_size=few))),
        tuple(draw(st.lists(st.builds(Dated, near, spans | st.none(), _kinds), max_size=few))),
        tuple(draw(st.lists(st.builds(Opening, near, spans | st.none()), max_size=few))),
    )
    return Calendar(Rules(rules), SiteZones({"S": zone})), ZoneInfo(zone), day


_weekdays = st.frozensets(st.integers(0, 6), min_size=1)
_kinds = st.sampled_from(Kind)


def moments(day: date, zone: ZoneInfo, step_min: int = 30) -> range:
    """Instants of the week around a day."""
    ends = [local_instant(day + timedelta(days=delta), local_time, zone) for delta in (-4, 5)]
    return range(ends[0], ends[1], step_min * MINUTE)


local_time = WallSpan.parse("00:00-24:00").start


@given(worlds())
def test_every_day_that_exists_has_its_night_once_and_no_other_has_one(world: tuple[Calendar, ZoneInfo, date]) -> None:
    """Night after night as time passes: each next one is the next day of the zone's calendar."""
    calendar, zone, day = world
    nights = list(dict.fromkeys(calendar.night_of("S", now) for now in moments(day, zone)))
    between = [nights[0] + timedelta(days=n) for n in range((nights[-1] - nights[0]).days + 1)]
    assert nights == [one for one in between if day_exists(one, zone)]
    for night in nights:
        start, end = calendar.off_peak_window("S", night)
        assert start < end
        assert calendar.night_of("S", start) == calendar.night_of("S", end - 1) == night


@given(worlds())
def test_open_stretches_lie_within_the_rules_and_agree_with_each_other(world: tuple[Calendar, ZoneInfo, date]) -> None:
    """Open is never blacked out, only in an off-peak window or an opening, and `next_open` agrees with `open_until`."""
    calendar, zone, day = world
    rules = calendar._rules.default
    times = moments(day, zone)
    opened = {now: calendar.open_until("S", now) for now in times}
    for now in times:
        until, blackout = opened[now], calendar.blacked_out_until("S", now)
        assert until is None or blackout is None
        assert (blackout is None) == (not calendar.kinds_at("S", now))
        if until is not None:
            assert until > now
            assert calendar.next_open("S", now) == now
            night = calendar.night_of("S", now)
            start, end = calendar.off_peak_window("S", night)
            # an opening may run from the day before into this one
            nearby = [local_date(now, zone) + timedelta(days=delta) for delta in (-1, 0, 1)]
            assert start <= now < end or any(rule.day in nearby for rule in rules.openings)
        elif blackout is None:
            start, end = calendar.off_peak_window("S", calendar.night_of("S", now))
            assert not start <= now < end
    for until in opened.values():
        if until is not None and until in opened:
            assert opened[until] is None, "a stretch ends where the site is closed"


@given(worlds(), st.integers(0, 14))
def test_a_site_is_open_exactly_where_off_peak_hours_and_openings_outweigh_blackouts(
    world: tuple[Calendar, ZoneInfo, date], minute: int
) -> None:
    """The same by a minute's own rules: a wall time is compared, not intervals. Away from changes of the clock."""
    calendar, zone, day = world
    rules = calendar._rules.default
    first = day + timedelta(days=40)
    midnight = local_instant(first, local_time, zone)
    for now in range(midnight + minute * MINUTE, midnight + DAY_MS, 15 * MINUTE):
        today = local_date(now, zone)
        wall = (now - local_instant(today, local_time, zone)) // MINUTE

        def within(span: WallSpan, begins: date, today: date = today, wall: int = wall) -> bool:
            start = span.start.hour * 60 + span.start.minute
            since = wall - start + (today - begins).days * 1440
            return 0 <= since < span.length_ms // MINUTE

        days = (today, today - timedelta(days=1))
        off_peak = any(within(rules.off_peak, begins) for begins in days)
        weekly = any(within(r.span, d) for r in rules.weekly for d in days if d.weekday() in r.weekdays)
        assert (calendar.open_until("S", now) is not None) == (off_peak and not weekly)


@given(worlds(blackouts=False), st.lists(st.integers(1, 90), min_size=20, max_size=400))
def test_every_night_gets_its_job_exactly_once_however_often_one_looks(
    world: tuple[Calendar, ZoneInfo, date], steps_min: list[int]
) -> None:
    """Or is missed because nobody looked while its window was open; then it is made up for by the next job."""
    calendar, zone, day = world
    now = moments(day, zone)[0]
    entry = first_entry(calendar, "S", NEW, now)
    book, jobs = {entry.night: entry}, list[date]()
    for step in steps_min:
        for missed in newly_missed(calendar, "S", book, {}, now):
            assert missed.night not in book
            book[missed.night] = missed
        if (night := due_night(calendar, "S", book, now)) is not None:
            jobs.append(night)
            book[night] = Night("S", night, State.DONE, now, now)
            book |= {one.night: one for one in made_up(book, book[night])}
            assert all(one.settled for one in book.values())
        now += step * MINUTE
    assert len(set(jobs)) == len(jobs)
    assert jobs == sorted(jobs)
    nights = sorted(book)
    assert [n for n in nights if day_exists(n, zone)] == nights
    steps = [calendar.night_after("S", night) for night in nights[:-1]]
    assert steps == nights[1:], "no night is left out of the book"
