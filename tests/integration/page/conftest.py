"""The page at / in a real browser, as it looks on a desktop or a phone, light or dark."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.pictures.browser import PATIENCE_MS, Complaints, chromium
from support.pictures.page import LOOKS
from support.servers.process import ServerProcess

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(params=["light"])
def page(request: pytest.FixtureRequest, browser: Browser, server: ServerProcess) -> Iterator[Page]:
    """The page with its model shown; at the end, the browser must have reported no error."""
    context = browser.new_context(**LOOKS[request.param])
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    complaints = Complaints(opened, server.http)
    opened.goto(f"{server.http}/")
    expect(opened.locator("#model")).to_be_visible()
    yield opened
    context.close()
    assert complaints == []
