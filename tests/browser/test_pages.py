"""The pages of a pipeline that runs, in a real browser: for everybody, in both colours, on a phone, by keyboard."""

import asyncio
from pathlib import Path

import pytest
from browser_visits import Visit
from pages_world import PagesWorld
from playwright.async_api import expect

PAGES = {
    "flow": "/flow",
    "batches": "/batches",
    "velocity": "/velocity",
    "sku": "/velocity/A/S7",
    "runs": "/runs",
    "audit": "/audit",
}


@pytest.mark.parametrize("name", PAGES)
async def test_every_page_is_for_everybody(visit: Visit, pages: PagesWorld, name: str) -> None:
    """No violation that axe finds, no error, no scrolling sideways on a phone; see `Visit.check`."""
    await visit.page.goto(pages.url + PAGES[name])
    await visit.check(name)


async def test_flow_comes_alive(visit: Visit, pages: PagesWorld) -> None:
    """It says that it is live; its windows are drawn; its navigation knows where it is."""
    page = visit.page
    await page.goto(f"{pages.url}/flow")
    await expect(page.locator("[data-live-status]")).to_have_text("live")
    await expect(page.get_by_role("img", name="Open windows in event time, UTC")).to_be_visible()
    await expect(page.get_by_role("link", name="Flow", exact=True)).to_have_attribute("aria-current", "page")
    assert visit.problems == []


async def test_a_batch_is_followed_to_its_file_and_to_its_run(visit: Visit, pages: PagesWorld) -> None:
    """From the list to the batch, its file as a download, and on to the classes of the run that it is part of."""
    page = visit.page
    await page.goto(f"{pages.url}/batches")
    await page.locator("#table-main tbody a").first.click()
    await visit.check("batch")
    async with page.expect_download() as coming:
        await page.get_by_role("link", name="Download the file").click()
    download = await coming.value
    assert Path(await download.path()).read_bytes().startswith(b"Obj\x01")
    await page.get_by_role("link", name="rolling_30d as of").first.click()
    await expect(page.get_by_role("heading", name="ABC × XYZ")).to_be_visible()


async def test_a_class_leads_to_its_skus_and_a_sku_to_its_days(visit: Visit, pages: PagesWorld) -> None:
    """By keyboard alone, from a cell of the matrix to the page of a SKU; the charts are drawn."""
    page = visit.page
    await page.goto(f"{pages.url}/velocity")
    await expect(page.locator("#chart-pareto canvas")).to_have_count(1)
    cell = page.locator(".matrix td a").filter(has_not_text=" 0 SKUs").first
    await cell.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**abc=**")
    await page.locator("#table-main tbody a").first.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#chart-days canvas")).to_have_count(1)
    await expect(page.get_by_role("heading", name="Since the run of")).to_be_visible()
    assert visit.problems == []


async def test_an_audit_is_watched_until_its_verdict(visit: Visit, pages: PagesWorld) -> None:
    """The verdict comes by itself, without the page being loaded again."""
    page = visit.page
    await page.goto(f"{pages.url}/audit")
    await page.get_by_role("button", name="Audit now").click()
    await expect(page.get_by_role("heading", name="source partitions")).to_contain_text("complete", timeout=30_000)
    await visit.check("audited")


async def test_a_report_is_read_from_a_file(visit: Visit, pages: PagesWorld, tmp_path: Path) -> None:
    """Opened from the disk, without any server; for everybody like the pages."""
    file = tmp_path / "report.html"
    written = await asyncio.to_thread(pages.pipeline.run_apart, "report", "--out", str(file))
    assert written.returncode == 0, written.stderr
    await visit.page.goto(file.as_uri())
    await expect(visit.page.get_by_role("img", name="Pareto curve")).to_be_visible()
    await visit.check("report")
