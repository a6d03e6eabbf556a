"""One Chromium for all browser tests, and a fresh visit of it for each."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser_visits import Visit, open_visit
from chromium import FLAGS, chromium
from console_world import ConsoleWorld, running
from playwright.async_api import Browser, async_playwright


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All browser tests share a loop, because they share a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, headless."""
    path = chromium()
    if path is None:
        pytest.skip("Chromium is not installed: `apt install chromium`, or run `make test` as root")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Visit]:
    """A browser that knows nobody; what it shows in the end is kept as a picture."""
    visit = await open_visit(browser)
    yield visit
    await visit.picture(re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-"))
    await visit.page.context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def console(tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    """A console on the loopback that asks nobody."""
    async with running(ConsoleWorld(tmp_path)) as world:
        yield world
