"""Finding one's way on the pages of the dead-letter desk."""

from playwright.async_api import Locator, Page


def figure(page: Page, name: str) -> Locator:
    """The value of a figure."""
    return page.locator(".figure").filter(has=page.get_by_text(name, exact=True)).locator("dd")
