"""What all pages share, in a real browser: layout, keyboard, colours, tables, charts, live parts, and logging in."""

from pathlib import Path

from browser_visits import Visit
from console_world import ConsoleWorld, running
from hostile_input import MARKUP
from playwright.async_api import expect

from runtime.access import Role


async def test_pages_are_for_everybody(visit: Visit, console: ConsoleWorld) -> None:
    """The start page, a page that is not there, and one with everything on it: see `Visit.check`."""
    for name, path in (("start", "/"), ("missing", "/nothing-here"), ("sample", "/sample")):
        await visit.page.goto(console.url + path)
        await visit.check(name)


async def test_the_keyboard_is_enough(visit: Visit, console: ConsoleWorld) -> None:
    """The first stop skips to the content; every stop shows where it is; nothing holds the focus."""
    page = visit.page
    await page.goto(f"{console.url}/sample")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#content")).to_be_focused()
    stops = list[str]()
    for _ in range(60):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(
            "() => { const at = document.activeElement, style = getComputedStyle(at);"
            " return at === document.body ? '' : at.outerHTML.slice(0, 90) + ' outline ' + style.outlineStyle; }"
        )
        if not stop:
            break
        assert stop.endswith("outline solid"), stop
        stops.append(stop)
    assert not stop, "the focus never leaves the page"
    assert any("<summary" in stop for stop in stops)
    assert any('type="search"' in stop for stop in stops)


async def test_colours_follow_the_system_until_somebody_chooses(visit: Visit, console: ConsoleWorld) -> None:
    """The choice outlives the page, and charts are drawn in it."""
    page = visit.page
    ground = "getComputedStyle(document.body.parentElement).backgroundColor"
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{console.url}/sample")
    dark = await page.evaluate(ground)
    await page.get_by_role("button", name="Switch to light colours").click()
    light = await page.evaluate(ground)
    assert light != dark
    await page.reload()
    assert await page.evaluate(ground) == light
    await page.get_by_role("button", name="Switch to dark colours").click()
    assert await page.evaluate(ground) == dark
    assert await page.locator(".plot canvas").count() == 1
    assert visit.problems == []


async def test_a_table_is_sorted_filtered_and_shared_by_its_address(visit: Visit, tmp_path: Path) -> None:
    """What is typed and clicked stands in the address, and the address shows the same to somebody else."""
    async with running(ConsoleWorld(tmp_path, shown=[f"row {number}" for number in range(150)])) as console:
        page = visit.page
        await page.goto(f"{console.url}/sample")
        assert await page.locator("#table-main tbody tr").count() == 100
        await page.get_by_role("link", name="Show more of 150 rows").click()
        await expect(page.locator("#table-main tbody tr")).to_have_count(150)
        await page.get_by_role("link", name="Amount").click()
        await expect(page.locator("#table-main tbody tr").first).to_contain_text("row 149")
        await page.get_by_role("searchbox", name="Filter").fill("row 14")
        await expect(page.locator("#table-main tbody tr")).to_have_count(11)
        address = page.url
        assert "q=row%2014" in address
        assert "sort=amount" in address
        await page.goto(address)
        assert await page.locator("#table-main tbody tr").count() == 11
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="CSV").click()
        lines = Path(await (await coming.value).path()).read_text("utf-8").splitlines()
        assert (lines[0], len(lines)) == ("text,code,amount", 12)
        assert visit.problems == []
        await console.stop()
        await page.get_by_role("link", name="Code").click()
        await expect(page.get_by_role("alert").first).to_contain_text("The console does not answer")
        await console.start()
        await page.get_by_role("link", name="Code").click()
        await expect(page.locator("[data-trouble]")).to_be_hidden()


async def test_a_live_part_survives_a_restart_of_the_server(visit: Visit, console: ConsoleWorld) -> None:
    """It says that it is away, comes back by itself, and shows what has happened meanwhile; and it gives its connection
    back while nobody sees it."""
    page = visit.page
    await page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.unseen === true})")
    part, status = page.locator("[data-live-part=count]"), page.locator("[data-live-status]")
    await page.goto(f"{console.url}/sample")
    await expect(status).to_have_text("live")
    console.count = 1
    await expect(part).to_have_text("plain 1")
    await console.stop()
    await expect(status).to_have_text("reconnecting…")
    console.count = 2
    await console.start()
    await expect(part).to_have_text("plain 2")
    await expect(status).to_have_text("live")
    await page.evaluate("window.unseen = true; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(status).to_have_text("paused")
    console.count = 3
    await page.evaluate("window.unseen = false; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(part).to_have_text("plain 3")
    assert visit.problems == []


async def test_people_log_in_and_out(visit: Visit, tmp_path: Path) -> None:
    """Whoever knows no token sees the login page alone; a token leads on to the page that was asked for; after the
    logout it is asked for again, and when the token is revoked, also by a page that is open and live."""
    world = ConsoleWorld(tmp_path)
    token = world.token("alice", Role.VIEWER)
    async with running(world) as console:
        page = visit.page
        await page.goto(f"{console.url}/sample?q=plain")
        await visit.check("login")
        await page.get_by_label("Token").fill("velocity_wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("not a valid token")
        await page.get_by_label("Token").fill(token)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{console.url}/sample?q=plain")
        await expect(page.get_by_text("alice")).to_be_visible()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(f"{console.url}/login")
        await visit.log_in(console.url, token)
        await expect(page.get_by_text("alice")).to_be_visible()
        world.token("bob")
        await page.goto(f"{console.url}/sample")
        await expect(page.locator("[data-live-status]")).to_have_text("live")
        console.revoke("alice")
        console.count = 1
        await expect(page.get_by_label("Token")).to_be_visible()
        await expect(page.locator("[data-live-part]")).to_have_count(0)
        assert visit.problems == []


async def test_what_attackers_write_stays_text(visit: Visit, tmp_path: Path) -> None:
    """Each hostile text in every place that a page has for texts: shown as it is, and nothing of it happens."""
    async with running(ConsoleWorld(tmp_path, shown=["\n".join(MARKUP), *MARKUP])) as console:
        page = visit.page
        await page.goto(f"{console.url}/sample")
        await expect(page.locator("[data-live-status]")).to_have_text("live")
        await expect(page.locator("[data-live-part=count] b")).to_have_count(1)
        assert await page.title() == "Sample · velocity"
        assert await page.locator("main script:not([type='application/json'])").count() == 0
        assert await page.locator("main :is(img, svg, iframe, style, [onload], [onerror], [onfocus])").count() == 0
        assert await page.locator("main [href^='javascript:'], main [hx-get='/logout']").count() == 0
        assert await page.locator("#table-main tbody tr").count() == len(MARKUP) + 1
        assert await page.locator(".plot canvas").count() == 1
        await visit.check("hostile")
