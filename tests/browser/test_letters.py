"""Dead letters in a real browser: grouped, repaired by a recipe written there, replayed live, and followed home."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from browser_visits import Visit
from console_world import ConsoleWorld, running
from hostile_input import MARKUP
from letters_browser import figure
from letters_world import LettersWorld, letters_world
from playwright.async_api import Page, expect

from console.desk.dry_run import DryRun, dry_run
from console.web.navigation import PLACES
from runtime.access import Role
from sandbox.kafka import EmbeddedKafka
from sandbox.spoilt_feed import SPOILT_KINDS, SentLine

KINDS = 20
expect.set_options(timeout=20_000)  # a machine may have other things to do
FORGED = """([path, csrf]) => {
    const body = new URLSearchParams({csrf, why: "x", act: "park"});
    return fetch(path, {method: "POST", body}).then(answer => answer.status);
}"""
KNOWN_PRODUCERS = re.compile("|".join({kind.producer for kind in SPOILT_KINDS}))


@pytest.fixture(scope="module")
def letters(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LettersWorld]:
    """240 dead letters of twelve kinds."""
    with letters_world(broker.bootstrap_servers, tmp_path_factory.mktemp("letters-in-browser"), KINDS) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def desk(letters: LettersWorld, tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    """A console of that pipeline."""
    async with running(letters.console(tmp_path)) as world:
        yield world


async def open_group(page: Page, url: str, producer: str, path: str) -> None:
    """By the list of groups, as soon as the index has it."""
    row = page.locator("#table-main tbody tr").filter(has_text=producer).filter(has_text=path)
    for _ in range(50):
        await page.goto(f"{url}/letters")
        if await row.count():
            break
        await page.wait_for_timeout(100)
    await row.first.get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(producer)


async def test_a_kind_of_dead_letter_is_brought_home(visit: Visit, desk: ConsoleWorld) -> None:
    """From the list of groups by recipe, preview, dry run and a replay that is paused and resumed, to the sentence
    that names the batch in which a letter counts. Every page on the way is for everybody."""
    page = visit.page
    await open_group(page, desk.url, "scanner-7", "$.event_time")
    await visit.check("letters-group")
    await page.goto(f"{desk.url}/letters")
    await visit.check("letters")
    await page.go_back()

    await page.get_by_role("link", name="Repair by a recipe").click()
    recipe, result = page.get_by_label("Recipe (TOML)"), page.locator("#result")
    await expect(result.get_by_text("the gate would take it")).to_have_count(5)
    draft = await recipe.input_value()
    await recipe.fill(draft.replace("%d/%m/%Y", "%m-%d-%Y"))
    await expect(result.get_by_text("cannot be repaired").first).to_be_visible()
    await recipe.fill(draft.replace("op =", "oq ="))
    await expect(result.locator(".problem")).to_contain_text("step 1")
    await recipe.fill(draft)
    await page.get_by_role("button", name="text", exact=True).click()
    await expect(recipe).to_have_value(re.compile(r'op = "text"'))
    await recipe.fill(draft)
    await expect(result.get_by_text("the gate would take it")).to_have_count(5)
    await page.get_by_role("button", name=re.compile("Dry run")).click()
    await expect(page.locator("#dry-run")).to_contain_text(f"The gate would take all {KINDS}.")
    await visit.check("letters-repair")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("link", name="Go on to the replay").click()

    await page.get_by_role("button", name="Dry run").click()
    await expect(page.locator("#dry-run")).to_contain_text("Closed windows that would be corrected")
    await visit.check("letters-replay")
    await page.get_by_label("Reason, for the audit log").fill("scanner 7 wrote local times")
    await page.get_by_label(re.compile("Send so many first")).fill("5")
    await page.get_by_label(re.compile("At most so many a second")).fill("6")
    await page.get_by_role("button", name=f"Replay {KINDS} letters").click()
    await expect(page.locator("[data-live-status]")).to_have_text("live")
    await expect(figure(page, "judged")).to_have_text(re.compile("[5-9]"))
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("[data-live-part=job_progress] .badge")).to_have_text("paused")
    await visit.check("letters-job")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("[data-live-part=job_progress] .badge")).to_have_text("done", timeout=60_000)
    await expect(figure(page, "judged")).to_have_text(str(KINDS))
    await expect(figure(page, "failed again")).to_have_text("0")

    await page.get_by_role("link", name="To the group").click()
    await expect(figure(page, "replayed")).to_have_text(str(KINDS))
    await page.locator("#table-main tbody tr").first.get_by_role("link").click()
    await expect(page.locator("#home")).to_contain_text("counted in correction", timeout=30_000)
    await visit.check("letters-letter")
    for name in ("acts", "held", "jobs"):
        await page.goto(f"{desk.url}/letters/{name}")
        await visit.check(f"letters-{name}")


async def test_a_viewer_sees_everything_and_acts_on_nothing(
    visit: Visit, letters: LettersWorld, tmp_path: Path
) -> None:
    """Every page opens with a viewer's session, none has anything that acts, and what a page might forge is refused."""
    console, page = letters.console(tmp_path), visit.page
    token = console.token("wall", Role.VIEWER)
    async with running(console) as desk:
        await visit.log_in(desk.url, token)
        await open_group(page, desk.url, "scanner-9", "$.event_time")
        group = page.url.partition("?")[0].removeprefix(desk.url)
        for path in [*(place.path for place in PLACES), group, f"{group}/repair", f"{group}/replay", "/letters/jobs"]:
            await page.goto(desk.url + path)
            await expect(page.locator("main h1")).to_be_visible()
            assert await page.locator("main form[method=post] button, main [hx-post] button").count() == 0, path
        await page.goto(f"{desk.url}{group}/replay")
        await expect(page.locator("main")).to_contain_text("log in with an operator's token")
        await visit.check("letters-viewer")
        csrf = await page.locator("header input[name=csrf]").first.get_attribute("value")
        for act in ("act", "replay", "dry-run"):
            assert await page.evaluate(FORGED, [f"{group}/{act}", csrf]) == 403


async def test_a_long_dry_run_says_how_far_it_is(
    visit: Visit, desk: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its page goes on to the result by itself, and can be opened elsewhere."""
    monkeypatch.setattr("console.web.letters.dry_run_page.PATIENCE_S", 0.0)
    page = visit.page
    goes_on = asyncio.Event()

    async def held_up(settings: Any, order: Any, letters: Any, *, on_progress: Any) -> DryRun:
        on_progress(7)
        await goes_on.wait()
        return await dry_run(settings, order, letters, on_progress=on_progress)

    monkeypatch.setattr("console.web.letters.trials.dry_run", held_up)
    await open_group(page, desk.url, "handheld-2", "$.uom")
    await page.get_by_role("link", name="Replay as they are").click()
    await page.get_by_role("button", name="Dry run").click()
    said = page.locator("#dry-run")
    await expect(said).to_contain_text(f"7 of {KINDS} letters are judged")
    await visit.check("letters-dry-run-under-way")
    await page.goto(f"{desk.url}{await said.get_by_role('link', name='See how far it is').get_attribute('href')}")
    await expect(said).to_contain_text(f"7 of {KINDS} letters are judged")
    goes_on.set()
    await expect(said).to_contain_text("The gate would take 0 of")
    await page.reload()
    await expect(said).to_contain_text("The gate would take 0 of")


async def test_a_replay_is_stopped_and_outlives_no_server(visit: Visit, desk: ConsoleWorld) -> None:
    """The rest of a stopped replay waits, and is sent by the same replay again; one at a time; a page that is open
    while the server is started again says that the replay ended with it, and how to go on."""
    page, state = visit.page, visit.page.locator("[data-live-part=job_progress] .badge")
    await open_group(page, desk.url, "erp-export", "$.sku")
    await page.get_by_role("link", name="Replay as they are").click()
    replay = page.url
    for end in ("stop", "restart"):
        await page.goto(replay)
        await page.get_by_label("Reason, for the audit log").fill("a try")
        await page.get_by_label(re.compile("At most so many a second")).fill("2")
        await page.get_by_label(re.compile("more than so many per cent")).fill("100")
        await page.get_by_role("button", name=re.compile("Replay .* letters")).click()
        await expect(figure(page, "sent")).to_have_text(re.compile("[1-9]"))
        job = page.url
        await page.goto(replay)
        await expect(page.get_by_text("A replay runs already")).to_be_visible()
        await page.goto(job)
        await expect(page.locator("[data-live-status]")).to_have_text("live")
        if end == "stop":
            await page.get_by_role("button", name="Stop").click()
            await expect(state).to_have_text("stopped")
            await expect(page.get_by_role("link", name="Go on with the rest")).to_be_visible()
        else:
            await desk.stop()
            await desk.start()
            await expect(state).to_have_text("ended")
            await page.get_by_role("link", name="Go on with the rest").click()
            await expect(page).to_have_url(replay)
    await page.goto(replay.removesuffix("/replay"))
    await page.get_by_text("Park or discard").click()
    await page.get_by_label("Reason, for the audit log").fill("never needed")
    await page.get_by_role("button", name=re.compile("Discard")).click()
    await expect(figure(page, "waiting")).to_have_text("0")
    assert visit.problems == []


async def test_what_letters_say_stays_text(visit: Visit, letters: LettersWorld, desk: ConsoleWorld) -> None:
    """Hostile texts in value, fields, header and key of letters: on every page that shows them they are but text, and
    characters that would hide or turn it are shown by name."""
    texts = [one.encode("utf-8", "replace").decode() for one in MARKUP]
    fields = ("event_id", "site_id", "sku", "uom", "event_time")
    lines = [SentLine(json.dumps({**dict.fromkeys(fields, one), one: one}).encode(), one[:60]) for one in texts]
    letters.send([*lines, *(SentLine(one.encode(), one) for one in texts[:4])], key=texts[0].encode())
    page = visit.page
    while True:  # until the index has the last of them
        await page.goto(f"{desk.url}/letters?text={quote(texts[3])}")
        if await page.locator("#table-main tbody tr").count():
            break
    await page.goto(f"{desk.url}/letters")
    links = "links => links.map(link => link.href)"
    rows = page.locator("#table-main tbody tr").filter(has_not_text=KNOWN_PRODUCERS)
    groups = await rows.locator("a").evaluate_all(links)
    assert len(groups) > 9
    for number, group in enumerate(groups):
        await look(page, group)
        if number % 4 == 0:
            await look(page, (await page.locator("#table-main tbody a").evaluate_all(links))[0])
            await look(page, f"{group.partition('?')[0]}/repair")
    await look(page, f"{desk.url}/letters?text={quote(texts[0])}&sku={quote(texts[2])}")
    await look(page, f"{desk.url}/letters/group/{quote(texts[0], safe='')}")
    await look(page, f"{desk.url}/letters/jobs/x?group={quote(texts[2])}&recipe={quote(texts[0])}")
    assert visit.problems == []


async def look(page: Page, address: str) -> None:
    """A page on which nothing of a stranger has become more than text."""
    await page.goto(address)
    assert "taken" not in await page.title(), address
    active = "main :is(img, iframe, style, object, b, [onload], [onerror], [onfocus], [onmouseover], [hx-on\\:load])"
    assert await page.locator(active).count() == 0, address
    assert await page.locator("main a[href^='javascript'], main form[action^='http']").count() == 0, address
    assert await page.locator("main script:not([type='application/json'])").count() == 0, address
    shown = await page.locator("main").inner_text()
    assert not set(shown) & set("\u202e\u2066\u2069\x00\x07"), address
