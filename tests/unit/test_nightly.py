"""The job of the night in a batch worker: a real database file, and a wall clock that the tests set."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from hand_made import batch, open_database, order

from batcher import metrics
from batcher.agenda import Agenda
from batcher.async_database import AsyncDatabase
from batcher.horizon import HORIZONS
from batcher.recalculation import Parts, Recalculation
from batcher.runs import Run
from batcher.schedule.calendar import Calendar
from batcher.schedule.night_table import read_nights
from batcher.schedule.nightly import Answer, Nightly
from batcher.schedule.nights import Night, State
from batcher.schedule.rules import Dated, Kind, Rules, SiteRules
from batcher.sites import Site
from batcher.traces import SiteTraces
from batcher.triggers import Cause
from batcher.workbench import Workbench
from runtime.health import Health
from runtime.settings import BatchSettings, ScheduleSettings, Settings
from schemas.records import Window
from schemas.sources import Source
from schemas.wall_spans import WallSpan
from schemas.windows import SiteWindows, SiteZones, WindowSpec

WINDOWS = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}))
SITE = "S1"


def at(text: str) -> int:
    """UTC milliseconds of `DAY HH:MM` of July 2026."""
    return round(datetime.fromisoformat(f"2026-07-{text}:00+00:00".replace(" ", "T")).timestamp() * 1000)


def night(day: int) -> date:
    return date(2026, 7, day)


class Worker:
    """As much of a batch worker as the job of the night needs; its site has facts and complete windows until noon."""

    def __init__(self, file: Path, calendar: Calendar, **schedule: Any) -> None:
        self.wall_ms, self.held, self.loading = 0, set[str](), False
        self.horizons: list[tuple[str, str]] = []
        self.before_each: Callable[[], None] = lambda: None
        self.database = open_database(file)
        settings = Settings(schedule=ScheduleSettings(**schedule), batch=BatchSettings(retry_backoff="PT0.001S"))  # type: ignore[arg-type]
        nothing: Any = None
        self.health, self.asynchronous = Health(), AsyncDatabase(self.database)
        self.bench = Workbench(
            settings, WINDOWS, nothing, self.asynchronous, self.health, 1, lambda: self.wall_ms, SiteTraces(), calendar
        )
        self.agenda = Agenda(WINDOWS, self.bench.is_blacked_out)
        holds = SimpleNamespace(sites=self.held, reason=lambda site_id: f"site {site_id} is held: damaged")
        parts: Any = SimpleNamespace(
            ownership=SimpleNamespace(partitions={0: SimpleNamespace(ready=True)}),
            loader=SimpleNamespace(holds=holds, is_loading=lambda _: self.loading),
            frontiers=None,
            reference=None,
        )
        recalculation = self.recalculation = Recalculation(self.bench, self.agenda, Parts(**vars(parts)))
        self._really = recalculation.calculate
        recalculation.calculate = self._calculate  # type: ignore[method-assign]
        self.nightly = Nightly(self.bench, self.agenda, parts, recalculation)
        self.site = Site(SITE, 0, WINDOWS.grid_of(SITE), at("01 10:00"), Window(at("01 10:00"), at("01 12:00")))
        self.agenda.book.enter(self.site)

    async def _calculate(self, site_id: str, as_of_ms: int, horizon: str, trigger: str, *, newest: bool) -> Run:
        self.before_each()
        self.horizons.append((horizon, trigger))
        return await self._really(site_id, as_of_ms, horizon, trigger, newest=newest)

    async def tend(self, when: str) -> None:
        """What the worker does at a time."""
        self.wall_ms = at(when)
        await self.nightly.tend()

    async def request(self, when: str, *, outside: bool = False) -> Answer:
        """What `velocity schedule run` asks for."""
        self.wall_ms = at(when)
        return await self.nightly.request(self.site, outside=outside)

    def states(self) -> dict[int, State]:
        """Day → what the database says of its night, but for the one before the first."""
        return {n.night.day: n.state for n in read_nights(self.database, SITE) if n.state is not State.NOT_DUE}

    def entry(self, day: int) -> Night:
        return next(entry for entry in read_nights(self.database, SITE) if entry.night == night(day))


Start = Callable[..., Worker]


@pytest.fixture
async def start(tmp_path: Path) -> Any:
    """Starts a worker over the file of this test; the one before it is gone then."""
    running: list[Worker] = []

    async def stop() -> None:
        if running:
            await running.pop().asynchronous.close(5)

    async def start(calendar: Calendar | None = None, **schedule: Any) -> Worker:
        await stop()
        running.append(Worker(tmp_path / "velocity.duckdb", calendar or Calendar(), **schedule))
        if not running[0].database.sites():
            events = batch(Source.ORDERS, order("E1", "2026-07-01T10:30:00Z", site_id=SITE))
            running[0].database.insert_batch(*events, partition=0, offset=0)
        return running[0]

    yield start
    await stop()


@pytest.fixture
def two_horizons(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A job of at least two calculations; between them is a boundary."""
    names = [*HORIZONS, *HORIZONS][:2]
    monkeypatch.setattr(Recalculation, "horizons", tuple(names))
    return names


async def test_a_job_is_made_when_the_site_opens_and_once(start: Start) -> None:
    """At the latest complete instant, as what the schedule wanted, once, though the worker looks every second."""
    worker = await start()
    for when in ("01 23:00", "02 01:59"):
        await worker.tend(when)
    assert worker.horizons == []
    for when in ("02 02:00", "02 02:01", "02 03:59", "02 04:00", "02 15:00"):
        await worker.tend(when)
    assert worker.horizons == [(name, Cause.SCHEDULE) for name in worker.recalculation.horizons]
    (run, *_) = worker.database.runs(SITE)
    assert (run.as_of_ms, run.trigger) == (at("01 12:00"), "schedule")
    entry = worker.entry(2)
    assert (entry.state, entry.started_at_ms, entry.finished_at_ms) == (State.DONE, at("02 02:00"), at("02 02:00"))
    await worker.tend("03 02:00")
    assert worker.states() == {2: State.DONE, 3: State.DONE}


async def test_a_restart_does_not_repeat_what_was_done(start: Start) -> None:
    """The night stands in the database."""
    worker = await start()
    await worker.tend("02 02:00")
    worker = await start()
    await worker.tend("02 02:30")
    assert worker.horizons == []
    assert worker.states() == {2: State.DONE}


async def test_a_job_that_a_crash_cut_off_is_made_again_and_keeps_its_beginning(start: Start) -> None:
    """It stood as running; in the same window it is taken up, and nobody is told of an overrun."""
    worker = await start()

    def die() -> None:
        raise KeyboardInterrupt

    worker.before_each = die
    with pytest.raises(KeyboardInterrupt):
        await worker.tend("02 02:00")
    assert worker.states() == {2: State.RUNNING}
    worker = await start()
    await worker.tend("02 02:10")
    entry = worker.entry(2)
    assert (entry.state, entry.started_at_ms, entry.finished_at_ms) == (State.DONE, at("02 02:00"), at("02 02:10"))


async def test_a_job_that_a_crash_cut_off_until_the_window_was_over_is_made_up_for_the_next_night(start: Start) -> None:
    """It overran, by whatever came between."""
    worker = await start()
    await worker.tend("01 23:00")
    await worker.nightly.books.enter(Night(SITE, night(2), State.RUNNING, at("02 03:50")))
    worker = await start()
    await worker.tend("02 09:00")
    assert worker.states() == {2: State.OVERRAN}
    assert worker.nightly.standing(SITE)["overdue_s"] == 5 * 3600
    await worker.tend("03 02:00")
    assert worker.states() == {2: State.OVERRAN, 3: State.DONE}
    assert worker.entry(2).finished_at_ms == at("03 02:00")
    assert worker.nightly.standing(SITE)["overdue_s"] == 0


async def test_an_overrun_stops_at_a_boundary_and_resumes_the_next_night(start: Start, two_horizons: list[str]) -> None:
    """The first calculation takes until 04:10: the second one is not begun, the API may serve the day."""
    worker = await start()
    await worker.tend("01 23:00")

    def slow() -> None:
        worker.wall_ms = at("02 04:10")

    worker.before_each = slow
    await worker.tend("02 03:59")
    assert [horizon for horizon, _ in worker.horizons] == two_horizons[:1]
    assert worker.entry(2).why == "stopped: outside of 02:00-04:00 until 2026-07-03T02:00:00Z"
    worker.before_each = lambda: None
    await worker.tend("02 12:00")
    assert len(worker.horizons) == 1
    await worker.tend("03 02:00")
    assert [horizon for horizon, _ in worker.horizons[1:]] == two_horizons
    assert worker.states() == {2: State.OVERRAN, 3: State.DONE}


async def test_an_absence_is_made_up_for_once(start: Start) -> None:
    """Three nights without a worker: one job in the next window; the three are missed."""
    worker = await start()
    await worker.tend("02 02:00")
    missed = metrics.NIGHTS.labels("missed")._value.get()
    worker = await start()
    await worker.tend("05 12:00")
    assert worker.states() == {2: State.DONE, 3: State.MISSED, 4: State.MISSED, 5: State.MISSED}
    assert worker.horizons == []
    assert metrics.OVERDUE.labels(SITE)._value.get() == 2 * 86_400 + 8 * 3600
    await worker.tend("06 02:00")
    await worker.tend("06 02:01")
    assert len(worker.horizons) == len(worker.recalculation.horizons)
    assert "made up for in the night of 2026-07-06" in (worker.entry(4).why or "")
    assert metrics.NIGHTS.labels("missed")._value.get() == missed + 3
    assert metrics.OVERDUE.labels(SITE)._value.get() == 0


async def test_a_blackout_is_respected(start: Start) -> None:
    """An audit of the whole night: nothing is made, even if asked for, and the next night makes up for it."""
    audit = Dated(night(2), WallSpan.parse("01:00-05:00"), Kind.INVENTORY_AUDIT)
    worker = await start(Calendar(Rules(SiteRules(dated=(audit,)))))
    for when in ("02 02:00", "02 03:59"):
        await worker.tend(when)
    refused = await worker.request("02 03:59", outside=True)
    assert (refused.outcome, refused.why) == (
        "refused",
        "blacked out for inventory audit until 2026-07-02T05:00:00Z",
    )
    await worker.tend("02 06:00")
    assert worker.horizons == []
    assert worker.entry(2).why == "blacked out from its beginning to its end: inventory audit"
    await worker.tend("03 02:00")
    assert worker.states() == {2: State.MISSED, 3: State.DONE}


async def test_a_calculation_that_falls_in_a_blackout_is_deferred_and_not_dropped(start: Start) -> None:
    """Windows complete in a picking wave: the site is due, shown as deferred, and taken when the wave is over."""
    wave = Dated(night(2), WallSpan.parse("06:00-09:00"), Kind.PICKING_WAVE)
    worker = await start(Calendar(Rules(SiteRules(dated=(wave,)))))
    triggers = worker.agenda.triggers
    triggers.windows_complete(SITE, at("02 07:00"), 0)

    def quiet(_: str) -> bool:
        return False

    await worker.tend("02 08:59")
    assert triggers.take(quiet, (), 10**9, worker.agenda.is_blacked_out) is None
    assert worker.nightly.standing(SITE)["deferred"]
    assert metrics.DEFERRED_SITES._value.get() == 1
    await worker.tend("02 09:00")
    assert metrics.DEFERRED_SITES._value.get() == 0
    due = triggers.take(quiet, (), 10**9, worker.agenda.is_blacked_out)
    assert due is not None and (due.as_of_ms, due.causes) == (at("02 07:00"), (Cause.WINDOWS,))


async def test_a_held_site_waits_says_so_and_is_missed_for_that(start: Start) -> None:
    """Its data is not all there; the night is told with the reason."""
    worker = await start()
    await worker.tend("01 23:00")
    worker.held.add(SITE)
    await worker.tend("02 02:00")
    assert worker.nightly.standing(SITE)["waits_for"] == "site S1 is held: damaged"
    await worker.tend("02 04:00")
    assert (worker.entry(2).state, worker.entry(2).why) == (State.MISSED, "site S1 is held: damaged")
    worker.held.clear()
    late = await worker.request("02 10:00", outside=True)
    assert (late.outcome, late.why) == ("done", "late: its window was missed")


async def test_a_job_that_fails_is_tried_again_and_readiness_names_it(start: Start) -> None:
    """A site that cannot be calculated does not end the worker."""
    worker = await start()
    await worker.tend("01 23:00")

    def fails() -> None:
        raise duckdb.OutOfMemoryException("too large")

    worker.before_each = fails
    await worker.tend("02 02:00")
    assert "the nightly job of S1 failed" in worker.health.ready()[1]["night of S1"]
    assert (await worker.request("02 02:01")).outcome == "failed"
    worker.before_each = lambda: None
    while worker.states()[2] is not State.DONE:
        await worker.tend("02 02:02")
    assert worker.health.ready() == (True, {})


async def test_without_the_builtin_scheduler_a_job_is_made_when_it_is_asked_for(start: Start) -> None:
    """By cron or Prefect: refused outside of the window, done once, and what nobody asked for is missed."""
    worker = await start(builtin=False)
    await worker.tend("02 01:00")
    refused = await worker.request("02 01:30")
    assert (refused.outcome, refused.why) == ("refused", "outside of 02:00-04:00 until 2026-07-02T02:00:00Z")
    await worker.tend("02 02:00")
    assert worker.horizons == []
    assert (await worker.request("02 02:05")).outcome == "done"
    assert (await worker.request("02 02:10")).outcome == "already done"
    assert len(worker.horizons) == len(worker.recalculation.horizons)
    for when in ("03 02:00", "03 04:00"):
        await worker.tend(when)
    assert worker.states() == {2: State.DONE, 3: State.MISSED}
    assert worker.entry(3).why == "nobody asked for it, and schedule.builtin is off"


async def test_a_site_that_another_worker_took_is_no_longer_shown_here(start: Start) -> None:
    """Its gauges go with it."""
    worker = await start()
    await worker.tend("02 12:00")
    assert (SITE,) in metrics.SCHEDULE_OPEN._metrics
    worker.agenda.dropped([0])
    await worker.tend("02 12:01")
    assert (SITE,) not in metrics.SCHEDULE_OPEN._metrics


@pytest.mark.parametrize("restarted", [False, True])
async def test_nights_that_another_worker_had_are_not_missed_here(start: Start, restarted: bool) -> None:
    """The site leaves on the 2nd and comes back on the 5th: what was done meanwhile stands in the other one's book."""
    worker = await start()
    await worker.tend("02 02:00")
    worker.agenda.dropped([0])
    await worker.tend("02 12:00")
    if restarted:
        worker = await start()
    worker.agenda.book.enter(worker.site)
    await worker.tend("05 12:00")
    assert worker.states() == {2: State.DONE, 3: State.LEFT}
    assert worker.nightly.standing(SITE)["overdue_s"] == 0
    await worker.tend("06 02:00")
    await worker.tend("07 12:00")
    assert worker.states() == {2: State.DONE, 3: State.LEFT, 6: State.DONE, 7: State.MISSED}


async def test_what_a_site_left_open_when_it_went_is_not_overdue_when_it_comes_back(start: Start) -> None:
    """A job that did not come to its end was taken up by the other worker; within its night it is due again here."""
    worker = await start()
    await worker.tend("01 23:00")
    await worker.nightly.books.enter(Night(SITE, night(2), State.RUNNING, at("02 02:00")))
    worker.agenda.dropped([0])
    await worker.tend("02 02:10")
    worker.agenda.book.enter(worker.site)
    await worker.tend("04 12:00")
    assert worker.nightly.standing(SITE)["overdue_s"] == 0
    assert worker.entry(2).why == "it did not come to its end; the site went to another worker"


async def test_a_site_that_comes_back_before_its_next_night_has_missed_nothing(start: Start) -> None:
    """A rebalance within the day, and one within the window: the night stays done, the next one is due."""
    worker = await start()
    await worker.tend("02 02:00")
    for away, back in (("02 02:10", "02 02:20"), ("02 12:00", "02 13:00")):
        worker.agenda.dropped([0])
        await worker.tend(away)
        worker.agenda.book.enter(worker.site)
        await worker.tend(back)
    assert worker.states() == {2: State.DONE}
    await worker.tend("03 02:00")
    assert worker.states() == {2: State.DONE, 3: State.DONE}
