"""The pages of the dead-letter desk before they are pages: what an address asks, what is shown, what a form says."""

import asyncio
import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hostile_input import MARKUP

from console.desk.acts import Leftovers
from console.desk.dry_run import Corrected, DryRun, StillFails
from console.desk.expiry import Retention
from console.desk.following import Progress
from console.desk.grouping import Group
from console.desk.held import HeldGroup
from console.desk.indexed import HOUR_MS, Cursor, GroupSummary, IndexedAct, IndexedLetter, State, Trend
from console.desk.places import Place
from console.desk.recipes import parse_recipe
from console.desk.repair import Unrepairable
from console.desk.replay_order import ReplayProgress
from console.desk.replay_order import State as ReplayState
from console.errors import CommandFailed, UsageError
from console.web.letters.choice import read_choice
from console.web.letters.drafts import STEPS, draft, pointer_of, step_text
from console.web.letters.dry_run_view import shown_dry_run
from console.web.letters.follower import IndexFollower
from console.web.letters.held_page import fact_row
from console.web.letters.held_page import group_row as held_row
from console.web.letters.jobs import About
from console.web.letters.letter_page import file_name
from console.web.letters.overview import SPARK_BINS, group_row, letter_row, spark_points, trend_chart
from console.web.letters.preview import preview
from console.web.letters.progress import shown_progress
from console.web.letters.recipe_form import read_form
from console.web.letters.replay_page import order_of
from console.web.letters.story import told
from console.web.letters.value_view import SHOWN_BYTES, show_value
from console.web.visible import clipped, one_line, visible
from runtime.health import Health
from runtime.settings import IntakeSettings, Settings
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import Window
from schemas.sources import Source
from streams.intake import Intake
from streams.intake_rules import IntakeRules

NOW = 1_700_000_000_000
TOPIC = "wms.orders.v1"
GROUP = Group(TOPIC, "bad_format", "$.event_time", "scanner-7", "event_time: text", '"9/9/9 9:9"')
VALUE = (
    b'{"event_id":"e1","site_id":"A","sku":"S1","event_time":"01/03/2011 10:15","quantity":1,"uom":"EA",'
    b'"order_id":"o1","line":1,"channel":null}'
)


def letter(**changes: object) -> IndexedLetter:
    """One as the index has it."""
    plain = IndexedLetter(
        id=f"{TOPIC}/0/7",
        place=Place(0, 3),
        topic=TOPIC,
        partition=0,
        offset=7,
        error_class="bad_format",
        stage="validate",
        path="$.event_time",
        message="found text",
        timestamp=NOW,
        posted_at=NOW,
        attempts=1,
        root=f"{TOPIC}/0/7",
        first_failed_at=NOW,
        producer="scanner-7",
        group=GROUP.id,
        site="A",
        sku="S1",
        state=State.WAITING,
        value=VALUE,
        size=len(VALUE),
        cursor=Cursor(NOW, 3),
    )
    return replace(plain, **changes)


def whole(value: bytes = VALUE, topic: str = TOPIC) -> DeadLetter:
    """The same from the topic."""
    return DeadLetter(
        value=value,
        headers=(("producer", b"scanner-7"),),
        topic=topic,
        partition=0,
        offset=7,
        timestamp=NOW,
        key=None,
        error_class=ErrorClass.BAD_FORMAT,
        stage="validate",
        path="$.event_time",
        message="found text",
        attempts=1,
        root=f"{topic}/0/7",
        first_failed_at=NOW,
        pipeline_version="1",
    )


# -- texts of strangers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", MARKUP)
def test_nothing_hides_in_a_text(text: str) -> None:
    """What is shown of a hostile text has no control or format character, and no line end that was not asked for."""
    assert visible(text).isprintable()
    assert all(sign.isprintable() or sign == "\n" for sign in visible(text, lines=True))
    assert one_line(text.encode("utf-8", "surrogatepass")).isprintable()


def test_what_can_be_shown_stays_as_it_is() -> None:
    """Letters of every script, and blanks; what is cut says so."""
    assert visible("Größe 数量 €") == "Größe 数量 €"
    assert visible("a\x00b\n\u202ec") == "a␀b␊⟨U+202E⟩c"
    assert (clipped("abcdef", 4), clipped("abcd", 4)) == ("abc…", "abcd")
    assert one_line(None) == "(null)"
    assert one_line(b"\xff\x00") == r"\xff␀"


def test_a_value_is_shown_as_it_reads_and_as_it_is() -> None:
    """Numbers keep their digits; what is no UTF-8 is escaped; a long value is cut, and a tombstone says that it is
    one."""
    shown = show_value(b'{"n":1.10}', {})
    assert (shown.form, shown.text, shown.cut) == ("JSON", '{\n  "n": 1.10\n}', False)
    assert shown.rows[0].digits == "7b 22 6e 22 3a 31 2e 31 30 7d"
    assert "no UTF-8 from byte 1" in show_value(b"a\xff<b>", {}).form
    assert show_value(b"a\xff<b>", {}).text == r"a\xff<b>"
    long = show_value(b"x" * (SHOWN_BYTES + 1), {})
    assert long.cut
    assert len(long.text) == SHOWN_BYTES == 16 * len(long.rows)
    assert show_value(b"xx", {}, size=5_000).cut
    assert show_value(None, {}).size is None


def test_a_file_is_called_by_nothing_that_leads_anywhere() -> None:
    """Whatever an id is, its file's name has no slash, no quote and no dot in front."""
    assert file_name(f"{TOPIC}/0/7") == "wms.orders.v1_0_7.bin"
    assert file_name('../../etc/"passwd\r\n') == "_.._etc__passwd__.bin"


# -- what an address asks ----------------------------------------------------------------------------------------------


def test_an_address_says_which_letters_are_meant() -> None:
    """Every parameter, and the same address again with one changed."""
    params = {"class": "bad_format", "source": "orders", "site": " A ", "sku": "S1", "text": "x&y", "state": "waiting"}
    times = {"since": "2011-03-01T00:00", "until": "2011-03-02T00:00:00+01:00", "before": "12-34", "desc": "1"}
    choice = read_choice({**params, **times}, Settings())
    wanted = choice.wanted
    assert (wanted.classes, wanted.topic, wanted.site) == ({ErrorClass.BAD_FORMAT}, TOPIC, "A")
    assert (wanted.since, wanted.until) == (1_298_937_600_000, 1_299_020_400_000)
    assert (choice.states, choice.before) == ((State.WAITING,), Cursor(12, 34))
    assert choice.of_group("abc").wanted.groups == {"abc"}
    assert choice.url("/letters", state=None, **{"class": "not_json"}).startswith("/letters?class=not_json&source=")
    assert "x%26y" in choice.url()
    assert "state" not in choice.url(state=None)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"class": "<script>"}, "class"),
        ({"source": "carts"}, "source"),
        ({"state": "lost"}, "state"),
        ({"since": "yesterday"}, "since"),
        ({"before": "1; DROP TABLE letters"}, "before"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_by_name(params: dict[str, str], named: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError, match=named):
        read_choice(params, Settings())


# -- groups and letters ------------------------------------------------------------------------------------------------


def test_a_group_is_shown_with_what_is_urgent() -> None:
    """Its trend of seven days, and how long its oldest waiting letter is still there."""
    states = {State.WAITING: 3, State.REPLAYED: 1, State.DISCARDED: 0, State.PARKED: 0}
    summary = GroupSummary(GROUP, states, NOW - HOUR_MS, NOW, NOW - 80 * 24 * HOUR_MS)
    trend = Trend({NOW // HOUR_MS * HOUR_MS: 3, (NOW // HOUR_MS - 7) * HOUR_MS: 1})
    row = group_row(summary, trend, {TOPIC: Source.ORDERS}, NOW, Retention(90 * 24 * HOUR_MS))
    assert (row["source"], row["waiting"], row["letters"], row["near"], row["left"]) == ("orders", 3, 4, True, "10 d")
    assert row["trend"].endswith(" 3")
    assert sum(map(int, row["trend"].split())) == 4
    unlimited = group_row(summary, trend, {}, NOW, Retention(None))
    assert (unlimited["source"], unlimited["expires_at"], unlimited["near"]) == (TOPIC, None, False)


def test_a_trend_is_a_line_within_its_frame() -> None:
    """Also where there is nothing."""
    for counts in ([0] * SPARK_BINS, list(range(SPARK_BINS))):
        points = [tuple(map(float, point.split(","))) for point in spark_points(counts).split()]
        assert len(points) == SPARK_BINS
        assert all(0 <= x <= 112 and 1 <= y <= 23 for x, y in points)


def test_a_chart_reaches_from_the_first_letter_to_now() -> None:
    """In hours at first, in longer spans where a year is shown; no letter is left out."""
    for hours in (1, 24 * 400):
        trend = Trend({(NOW // HOUR_MS - hours) * HOUR_MS: 5, NOW // HOUR_MS * HOUR_MS: 2})
        chart = trend_chart(trend, NOW)
        assert sum(value or 0 for value in chart.series[0].values) == 7
        assert 24 <= len(chart.x) <= 122


def test_hostile_letters_make_harmless_rows() -> None:
    """Each text of a row can be printed, however it was written."""
    for text in MARKUP:
        row = letter_row(letter(site=text, sku=text, message=text, value=text.encode("utf-8", "surrogatepass")))
        assert all(str(value).isprintable() for value in row.values())


def test_a_story_is_told_in_order() -> None:
    """Refused, sent back, failed again: by whom, why, with what, and as which letter."""
    again = letter(id=f"{TOPIC}/0/9", attempts=2, root=f"{TOPIC}/0/7", posted_at=NOW + 2_000)
    act = IndexedAct(
        letter=f"{TOPIC}/0/7",
        root=f"{TOPIC}/0/7",
        at=NOW + 1_000,
        who="ann\x00",
        action="replay",
        why="why not",
        run="1",
        recipe="r",
        recipe_sha256="ab" * 32,
        sent_to=f"{TOPIC}/0/9",
        seq=1,
        offset=1,
    )
    steps = told([again, letter()], [act])
    assert [step.what for step in steps] == ["Refused", "Sent back", "Failed again, attempt 2"]
    assert dict(steps[1].details) == {
        "by": "ann␀",
        "reason": "why not",
        "recipe": "r (SHA-256 abababababab…)",
        "sent to": f"{TOPIC}/0/9",
    }


def test_held_facts_say_what_lets_them_count() -> None:
    """The row that they lack; what a producer wrote is made visible."""
    row = held_row(HeldGroup("A", "item is not listed", "S1\x00", "CRATE", 2, 0, NOW))
    assert (row["sku"], row["facts"], row["first"]) == ("S1␀", 2, "1970-01-01T00:00:00Z")
    assert "S1␀,CRATE,BASE_UNITS" in row["remedy"]
    assert fact_row({"sku": "\u202ea", "event_time_ms": 0})["sku"] == "⟨U+202E⟩a"


# -- recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_every_draft_is_a_recipe(error_class: ErrorClass) -> None:
    """Whatever the group and its producer are called, and for the letters of just that group."""
    patterns, paths = ("", '"9"', "9", '"a"', '"9/9/9 9:9"'), ("$", "$.quantity", '$.a"b[0].c/d', "$.event_time")
    producers = ("-", "scanner-7", 'x"]\n[[steps]]\nop = "remove"', *MARKUP)
    for pattern, path, producer in itertools.product(patterns, paths, producers):
        group = GROUP._replace(error_class=error_class.value, pattern=pattern, path=path, producer=visible(producer))
        recipe = parse_recipe(draft(group, Source.ORDERS, [letter()]), "draft")
        assert len(recipe.steps) == 1
        assert (recipe.match.path, recipe.match.source) == (path, Source.ORDERS)
        assert recipe.match.producer == (None if producer == "-" else visible(producer))


def test_every_step_of_a_button_can_be_added() -> None:
    """Each kind after a draft is still a recipe, but for `encoding`, which has to come first."""
    text = draft(GROUP, None, [])
    for op in STEPS:
        if op != "encoding":
            assert len(parse_recipe(text + "\n" + step_text(op, "/a~1b"), op).steps) == 2
    with pytest.raises(UsageError, match="before all other steps"):
        parse_recipe(text + "\n" + step_text("encoding", ""), "encoding")


def test_a_path_becomes_a_pointer() -> None:
    """With its names escaped."""
    assert pointer_of("$.lines[0].a/b~c") == "/lines/0/a~1b~0c"
    assert pointer_of("$") == ""


def test_a_form_says_what_is_wrong_and_what_is_saved() -> None:
    """A wrong text is no recipe; a right one is saved, new, or would replace another of its name."""
    text = draft(GROUP, Source.ORDERS, [])
    recipe = parse_recipe(text, "draft")
    other = parse_recipe(text.replace("UTC", "Europe/London"), "other")
    assert "step 1" in read_form(text.replace('zone = "UTC"', 'zone = "Nowhere"'), []).problem
    assert "<script>" in read_form(f"name = {MARKUP[0]}", []).text
    assert read_form(text.replace("\n", "\r\n"), [recipe]).is_saved
    assert not read_form(text, []).is_saved
    assert read_form(text, [other]).would_replace
    assert not read_form(text, [recipe]).would_replace


def test_a_preview_says_what_changes_and_what_the_gate_says() -> None:
    """Taken; refused again with the reason; not repaired; left alone."""
    rules = IntakeRules.from_settings(IntakeSettings())
    gates = {source: Intake(source, rules) for source in Source}
    recipe = parse_recipe(draft(GROUP, Source.ORDERS, []), "draft")
    letters = [
        whole(),
        whole(VALUE.replace(b'"quantity":1', b'"quantity":-1')),
        whole(b"{"),
        whole(topic="elsewhere"),
    ]
    taken, refused, unread, elsewhere = preview(recipe, letters, gates, {TOPIC: Source.ORDERS}, {}, NOW)
    assert (taken.tone, taken.verdict) == ("good", "the gate would take it")
    assert [tuple(change) for change in taken.changes] == [
        ("/event_time", '"01/03/2011 10:15"', '"2011-03-01T10:15:00+00:00"')
    ]
    assert refused.verdict.startswith("would fail again: out_of_range at $.quantity")
    assert unread.verdict.startswith("cannot be repaired")
    assert elsewhere.verdict.startswith("left alone")


def test_a_dry_run_is_summed_up() -> None:
    """How many are fixed, how many fail for which reason, which windows change; and one sentence."""
    result = DryRun(fixed=6, on_time=1, repeated_ids=2)
    result.failures[("bad_format", "$.sku")] = StillFails("bad_format", "$.sku", 3, f"{TOPIC}/0/1", "found\x00")
    result.tally.cannot(f"{TOPIC}/0/2", Unrepairable(1, "no number"))
    result.corrected[("A", 0)] = Corrected("A", Window(0, HOUR_MS), 5, {f"S{n:02}" for n in range(12)})
    shown = shown_dry_run(result)
    assert shown.verdict == ("warn", "The gate would take 6 of 10.")
    assert [one.letters for one in shown.failing] == [3, 1]
    assert shown.failing[0].reason == "bad_format at $.sku: found␀"
    assert (shown.windows[0].skus, shown.windows[0].start) == (12, "1970-01-01T00:00:00Z")
    assert shown.windows[0].named.endswith("S07, …")
    assert len(shown.remarks) == 2
    assert shown_dry_run(DryRun()).verdict[0] == "warn"
    assert shown_dry_run(DryRun(fixed=3)).verdict == ("good", "The gate would take all 3.")
    assert isinstance(result.tally.leftovers, Leftovers)


# -- replays -----------------------------------------------------------------------------------------------------------


class Replaying:
    """A replay at some point of its way."""

    about = About(GROUP.id, None, "ann", "why not", 10)

    def __init__(self, **progress: object) -> None:
        self.progress = ReplayProgress(**progress)


@pytest.mark.parametrize("state", list(ReplayState))
def test_every_state_of_a_replay_is_said(state: ReplayState) -> None:
    """With its reason, which may hold anything; only an end that left letters offers to go on."""
    shown = shown_progress(Replaying(state=state, reason=f"{MARKUP[0]}\x00", sent=4, parked=1), 120)
    assert shown.said
    assert shown.reason.isprintable()
    assert (shown.done, shown.total) == (5, 10)
    assert shown.unfinished == (state in (ReplayState.STOPPED, ReplayState.ABORTED, ReplayState.FAILED))
    assert shown.ended == (shown.unfinished or state is ReplayState.DONE)


def test_figures_of_a_replay_are_coloured_by_what_they_mean() -> None:
    """A failure is bad only where there is one."""
    figures = {name: tone for name, _, tone in shown_progress(Replaying(state=ReplayState.SENDING), 1).figures}
    assert set(figures.values()) == {"plain"}
    bad = shown_progress(Replaying(state=ReplayState.SENDING, failed_again=2, sent=1_500), 1).figures
    assert Counter(tone for _, _, tone in bad)["bad"] == 1
    assert ("sent", "1,500", "plain") in bad


def test_a_form_orders_a_replay() -> None:
    """What is empty leaves the settings' values; no rate is no limit; a replay here stays for the verdicts."""
    order = order_of({"why": " scanner\x00 ", "canary": "", "abort_above": "", "rate": ""}, Settings(), None)
    assert (order.why, order.canary, order.abort_above, order.rate) == ("scanner␀", 0, 0.1, None)
    assert (order.follow, order.include_parked) == (True, False)
    form = {"why": "x", "canary": "7", "abort_above": "2.5", "rate": "0.5", "include_parked": "1"}
    order = order_of(form, Settings(), None)
    assert (order.canary, order.abort_above, order.rate, order.include_parked) == (7, 0.025, 0.5, True)


@pytest.mark.parametrize(
    "wrong", [{"why": ""}, {"canary": "-1"}, {"rate": "nan"}, {"rate": "0"}, {"abort_above": "1e9"}]
)
def test_a_form_that_makes_no_sense_is_refused(wrong: dict[str, str]) -> None:
    """And says what is missing, or between which bounds a number may be."""
    with pytest.raises(UsageError, match=r"say why|write a number from"):
        order_of({"why": "x", **wrong}, Settings(), None)


async def test_the_first_reading_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages wait for it a moment; where it takes longer they are shown, and say what they lack."""
    goes_on = asyncio.Event()

    async def follow(_: Settings, on_progress: Progress) -> None:
        on_progress(30_000, 12_000)
        await goes_on.wait()

    monkeypatch.setattr("console.web.letters.follower.follow", follow)
    monkeypatch.setattr("console.web.letters.follower.FRESH_S", 0.05)
    follower = IndexFollower(Settings(), Health())
    assert follower.filling == "New letters are being read; the index does not have them yet."
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(0)
    await follower.fresh()
    assert follower.filling is not None
    assert "12,000 of 30,000 are in the index so far" in follower.filling
    goes_on.set()
    monkeypatch.setattr("console.web.letters.follower.FRESH_S", 60.0)
    await follower.fresh()
    assert follower.filling is None
    task.cancel()


async def test_a_page_that_follows_an_act_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a reading that began after the act: one that is under way may have passed it already."""
    begun, goes_on = asyncio.Queue[int](), asyncio.Semaphore(0)
    readings = itertools.count(1)

    async def follow(_: Settings, __: Progress) -> None:
        begun.put_nowait(next(readings))
        await goes_on.acquire()

    monkeypatch.setattr("console.web.letters.follower.follow", follow)
    monkeypatch.setattr("console.web.letters.follower.FRESH_S", 60.0)
    follower = IndexFollower(Settings(), Health())
    task = asyncio.create_task(follower.run())
    assert await begun.get() == 1
    follower.hurry()
    page = asyncio.create_task(follower.fresh())
    goes_on.release()
    assert await begun.get() == 2
    await asyncio.sleep(0.01)
    assert not page.done()
    goes_on.release()
    await asyncio.wait_for(page, 20)
    await asyncio.wait_for(follower.fresh(), 20)
    task.cancel()


async def test_an_index_that_is_not_kept_up_to_date_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The health says so as long as reading fails, or where it takes long; and no longer than that."""
    health, answers = Health(), [CommandFailed("the disk is full"), None]
    follower = IndexFollower(Settings(), health)

    async def follow(_: Settings, on_progress: Progress) -> None:
        on_progress(10, 4)
        if (answer := answers.pop(0) if answers else None) is not None:
            raise answer

    monkeypatch.setattr("console.web.letters.follower.follow", follow)
    monkeypatch.setattr("console.web.letters.follower.LATE_S", -1.0)
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(0.01)
    assert "the disk is full" in health.not_ready["letters-index"]
    follower.hurry()
    await asyncio.sleep(0.01)
    assert health.not_ready == {}
    assert (follower.trouble, follower.followed_at is None) == (None, False)
    task.cancel()
