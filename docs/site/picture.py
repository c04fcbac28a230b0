"""Takes the picture that opens the README: the page of a real server, answering a digit that is drawn on it.

    PYTHONPATH=tests python docs/site/picture.py REPOSITORY PICTURE

Needs Debian's Chromium (`make tools`) and a published version in the model repository. Exit code 1, with one line, if
the page does not answer the digit that was drawn.
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Page, Request, Response, expect
from support.pictures.browser import PATIENCE_MS, chromium
from support.pictures.handwriting import DIGITS

from digits_client.testing import CannotStart, LocalServer

DIGIT = 3
VIEW = (1000, 560)
"""Pixels across and down that the picture shows, from the top of the page."""


class WrongPicture(Exception):
    """One sentence for the person who takes the picture."""


def take(browser: Browser, address: str, picture: Path) -> None:
    """Draws the digit and takes the picture once the page has answered. Raises WrongPicture."""
    page = browser.new_page(
        viewport={"width": VIEW[0], "height": VIEW[1]}, color_scheme="light", reduced_motion="reduce"
    )
    page.set_default_timeout(PATIENCE_MS)
    asked: list[Request] = []
    answered: list[Response] = []
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108  # Playwright sets attributes of it
    page.on("response", lambda response: answered.append(response))  # noqa: PLW0108
    page.goto(address)
    expect(page.locator("#model")).to_be_visible(timeout=PATIENCE_MS)
    sheet = page.locator("#sheet").bounding_box()
    if sheet is None:
        raise WrongPicture(f"{address} shows no sheet to draw on")
    for stroke in DIGITS[DIGIT]:
        points = [_on(sheet, point) for point in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()
    page.mouse.move(0, 0)
    said = _answer(page, asked, answered)
    if not said.startswith(f"{DIGIT},"):
        raise WrongPicture(f"drew a {DIGIT}, and the page says {said!r}: take a better model")
    page.screenshot(path=picture)


def _answer(page: Page, asked: list[Request], answered: list[Response]) -> str:
    """What the page says to a screen reader about the whole digit. It asks the server while one draws, too."""
    spoken = page.locator("#spoken")
    while True:
        spoken.evaluate("element => { element.textContent = '' }")
        expect(spoken).not_to_be_empty(timeout=PATIENCE_MS)
        if len(asked) == len(answered):
            return spoken.inner_text()


def _on(sheet: FloatRect, point: tuple[float, float]) -> tuple[float, float]:
    return sheet["x"] + point[0] * sheet["width"], sheet["y"] + point[1] * sheet["height"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the picture that opens the README.")
    parser.add_argument("repository", type=Path, help="model repository with a published version")
    parser.add_argument("picture", type=Path, help="where the PNG goes")
    chosen = parser.parse_args()
    try:
        with LocalServer("--repository", str(chosen.repository)) as server, chromium() as browser:
            take(browser, server.http, chosen.picture)
    except (CannotStart, WrongPicture) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
