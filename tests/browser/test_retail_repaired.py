"""Dead letters come home in a browser: the spoilt sample, brought in order by hand, counts like one that was right from
the start."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from acceptance_feeds import coefficients
from browser_visits import Visit
from console_world import ConsoleWorld, running
from letters_browser import figure
from letters_world import LettersWorld
from pipeline_world import PipelineWorld
from playwright.async_api import Page, expect
from spoilt_retail import AS_OF, RECIPES, of_each_kind

from console.web.letters.follower import READING
from sandbox.spoilt_feed import SPOILT_KINDS, SpoiltKind

LONG_MS = 120_000
expect.set_options(timeout=20_000)  # a machine may have other things to do


@dataclass(frozen=True)
class Row:
    """A row of the list of groups."""

    address: str
    text: str

    def is_of(self, kind: SpoiltKind) -> bool:
        """Lines that are no merchandise fail by their SKU first, and are nobody's fault."""
        told = kind.producer in self.text and kind.error_class.value in self.text
        return told and (kind.name != "local time" or "$.event_time" in self.text)


@pytest.mark.timeout(900)
@of_each_kind
async def test_an_operator_brings_them_home(
    visit: Visit, of_each: int, spoilt_world: PipelineWorld, pipeline: PipelineWorld, tmp_path: Path
) -> None:
    """3,000 letters, or ten times as many: three kinds are repaired by recipes that are written, tried and replayed,
    the rest is discarded; the console's audit is complete, coefficients are byte-equal to those of a right feed, and a
    letter's page says of which run it is a part."""
    async with running(LettersWorld(spoilt_world, of_each).console(tmp_path)) as desk:
        page, judged = visit.page, 0
        for kind in SPOILT_KINDS:
            if kind.repairable:
                for number, row in enumerate([one for one in await waiting(page, desk) if one.is_of(kind)]):
                    judged += await repair(page, row, kind, written=number == 0)
        assert 0.98 * 3 * of_each < judged <= 3 * of_each
        async with asyncio.timeout(200):
            while rows := await waiting(page, desk):
                for row in rows:
                    await discard(page, row)
        await asyncio.to_thread(spoilt_world.drain, within_s=240)
        await assert_complete(page, desk)
        theirs, ours = [await asyncio.to_thread(coefficients, world, AS_OF) for world in (pipeline, spoilt_world)]
        assert ours == theirs
        await assert_home(visit, desk)


async def waiting(page: Page, desk: ConsoleWorld) -> list[Row]:
    """The groups that have letters nothing was done about."""
    await page.goto(f"{desk.url}/letters?state=waiting")
    await expect(page.get_by_text(READING)).to_have_count(0, timeout=LONG_MS)  # the page asks again by itself
    rows = page.locator("#table-main tbody tr")
    texts, links = await rows.all_inner_texts(), rows.locator("td:first-child a, th:first-child a")
    addresses: list[str] = await links.evaluate_all("links => links.map(link => link.href)")
    return [Row(*both) for both in zip(addresses, texts, strict=True)]


async def repair(page: Page, row: Row, kind: SpoiltKind, *, written: bool) -> int:
    """By the recipe of its producer, which is `written` into the form or chosen; how many letters were judged."""
    await page.goto(row.address.partition("?")[0])
    letters = number(await figure(page, "waiting").inner_text())
    await page.get_by_role("link", name="Repair by a recipe").click()
    text = RECIPES[kind.producer]
    name = re.findall(r'name = "(.*)"', text)[0]
    if written:
        await page.get_by_label("Recipe (TOML)").fill(text)
        await expect(page.locator("#result").get_by_text("the gate would take it").first).to_be_visible()
        await page.get_by_role("button", name="Save").click()
    else:
        await page.goto(f"{row.address.partition('?')[0]}/repair?recipe={name}")
    await page.get_by_role("link", name="Go on to the replay").click()
    await page.get_by_role("button", name="Dry run").click()
    said = re.compile(f"The gate would take (all {letters:,}|[0-9,]+ of {letters:,})")
    await expect(page.locator("#dry-run")).to_contain_text(said, timeout=LONG_MS)
    told = re.findall("would take (?:all )?([0-9,]+)", await page.locator("#dry-run").inner_text())
    taken = number(told[0])
    assert taken > 0.98 * letters  # `POST` is no SKU, whenever it was picked
    await page.get_by_label("Reason, for the audit log").fill(f"ticket of {kind.producer}")
    await page.get_by_role("button", name=re.compile("Replay .* letters")).click()
    await expect(page.locator("[data-live-part=job_progress] .badge")).to_have_text("done", timeout=LONG_MS)
    await expect(figure(page, "judged")).to_have_text(f"{letters:,}")
    await expect(figure(page, "failed again")).to_have_text(f"{letters - taken:,}")
    return letters


async def discard(page: Page, row: Row) -> None:
    """All of a group."""
    await page.goto(row.address.partition("?")[0])
    await page.get_by_text("Park or discard").click()
    await page.get_by_label("Reason, for the audit log").fill("the right line came, too")
    await page.get_by_role("button", name=re.compile("Discard")).click()
    await expect(figure(page, "waiting")).to_have_text("0", timeout=LONG_MS)


async def assert_complete(page: Page, desk: ConsoleWorld) -> None:
    """By the console's own audit, offset by offset."""
    await page.goto(f"{desk.url}/audit")
    await page.get_by_label(re.compile("offset by offset")).check()
    await page.get_by_role("button", name="Audit now").click()
    await expect(page.locator("[data-live-part=audit] .badge").first).to_have_text("complete", timeout=LONG_MS)
    await expect(page.get_by_text("chain is whole")).to_be_visible()


async def assert_home(visit: Visit, desk: ConsoleWorld) -> None:
    """The story of the newest letter that was repaired ends in a run."""
    page = visit.page
    await page.goto(f"{desk.url}/letters?state=replayed&class=wrong_type")
    await page.locator("#table-main tbody tr").first.get_by_role("link").click()
    await page.locator("#table-main tbody tr").first.get_by_role("link").click()
    await expect(page.locator("#home")).to_contain_text("counted in correction", timeout=LONG_MS)
    await expect(page.locator("#home")).to_contain_text(re.compile("it corrected run [0-9a-f]+ as of"))
    await visit.check("letters-home")


def number(text: str) -> int:
    """As pages write it, with commas."""
    return int(text.replace(",", ""))
