"""Visits of a real browser: what has to hold of every page, and pictures of it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, ConsoleMessage, Page, Request

Scheme = Literal["light", "dark"]

ROOT = Path(__file__).parents[1]
AXE = ROOT / "tests" / "browser" / "vendor" / "axe" / "axe.min.js"
SCREENSHOTS = ROOT / "build" / "screenshots"
WIDE, PHONE = 1280, 390  # px
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
#: What a browser says by itself of an answer that is no success; tests look at the answer.
_STATUS = re.compile(r"Failed to load resource: .*(status of|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY)")


@dataclass
class Visit:
    """A page of a browser that knows nobody yet. What it complains of on its console is in `problems`."""

    page: Page
    problems: list[str] = field(default_factory=list[str])

    def watch(self) -> "Visit":
        """Note errors, refusals of the content policy among them."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("requestfailed", self._failed)
        return self

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _STATUS.match(message.text):
            self.problems.append(message.text)

    def _failed(self, request: Request) -> None:
        if (
            "/static/" in request.url and request.failure != "net::ERR_ABORTED"
        ):  # which is what going on to the next page does
            self.problems.append(f"{request.url} was not loaded: {request.failure}")

    async def log_in(self, url: str, token: str) -> None:
        """By the login page, and on to where it leads."""
        await self.page.goto(f"{url}/login")
        await self.page.get_by_label("Token").fill(token)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_load_state()

    async def check(self, name: str) -> None:
        """Assert what has to hold of a page as it is now, and keep pictures of it under this name: nothing on the
        console, no violation of WCAG A and AA that axe finds, at a desk in light and on a phone in dark colours, and
        no scrolling sideways.
        """
        before = self.page.viewport_size or {"width": WIDE, "height": 900}
        for scheme, width in (("light", WIDE), ("dark", PHONE)):
            await self.dress(scheme, width)
            await self.picture(f"{name}-{scheme}-{width}")
            assert await self.violations() == [], f"{name}, {scheme}"
            overflow = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0, f"{name} scrolls sideways by {overflow} px at {width} px"
        await self.page.set_viewport_size(before)
        await self.page.emulate_media(color_scheme="light")
        assert self.problems == [], name

    async def dress(self, scheme: Scheme, width: int) -> None:
        """As a system of these colours and a window of this width show it."""
        await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await self.page.set_viewport_size({"width": width, "height": 900 if width > PHONE else 844})
        await self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    async def violations(self) -> list[str]:
        """What axe finds: the rule, what it is about, and where."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text("utf-8"))
        found: list[dict[str, Any]] = await self.page.evaluate(
            "rules => axe.run({runOnly: rules, resultTypes: ['violations']}).then(result => result.violations)", _RULES
        )
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for rule in found
            for node in rule["nodes"]
        ]

    async def picture(self, name: str, folder: Path = SCREENSHOTS) -> Path:
        """A picture of the whole page."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.png"
        await self.page.screenshot(path=file, full_page=True, animations="disabled")
        return file


async def open_visit(browser: Browser) -> Visit:
    """A browser that has been nowhere; close its `page.context` in the end."""
    context = await browser.new_context(viewport={"width": WIDE, "height": 900})
    context.set_default_timeout(15_000)
    return Visit(await context.new_page()).watch()
