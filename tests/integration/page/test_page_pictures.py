"""The page at /, in a real browser: image files that are chosen, dropped or pasted, and what cannot be recognised."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from support.pictures.browser import PATIENCE_MS
from support.pictures.page import DELIVER, LOOKS, draw, shows
from support.pictures.pixels import png
from support.servers.process import ServerProcess


def test_pictures_that_are_chosen_are_recognised_and_listed(
    page: Page, test_images: NDArray[np.uint8], test_labels: NDArray[np.uint8]
) -> None:
    files: list[Any] = [
        {"name": f"{index}.png", "mimeType": "image/png", "buffer": png(test_images[index])} for index in range(3)
    ]
    page.locator("#choose").set_input_files(files)
    listed = page.locator("#files button")
    expect(listed).to_have_count(3)
    for index in range(3):
        listed.nth(index).click()
        shows(page, int(test_labels[index]))
        expect(listed.nth(index)).to_have_attribute("aria-pressed", "true")
    page.locator("#clear").click()
    expect(page.locator("#files")).to_be_hidden()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_is_recognised(
    page: Page, test_images: NDArray[np.uint8], way: str
) -> None:
    page.evaluate(DELIVER, [way, "seven.png", base64.b64encode(png(test_images[0])).decode()])
    shows(page, 7)
    expect(page.locator("#hint")).to_be_hidden()


def test_drawing_goes_on_after_a_picture(page: Page, test_images: NDArray[np.uint8]) -> None:
    page.evaluate(DELIVER, ["drop", "seven.png", base64.b64encode(png(test_images[0])).decode()])
    shows(page, 7)
    draw(page, 3)
    shows(page, 3)


def test_the_pixels_shown_are_those_the_model_saw(page: Page, test_images: NDArray[np.uint8]) -> None:
    page.evaluate(DELIVER, ["drop", "seven.png", base64.b64encode(png(test_images[0])).decode()])
    shows(page, 7)
    shown = page.evaluate(
        """() => Array.from(document.getElementById("pixels").getContext("2d").getImageData(0, 0, 28, 28).data)
            .filter((_, index) => index % 4 === 3)"""
    )
    assert np.abs(np.array(shown).reshape(28, 28) - test_images[0].astype(int)).max() <= 1


def test_an_image_that_does_not_look_like_a_digit_is_marked(
    browser: Browser, scored_repository: Path, test_images: NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    files: list[Any] = [
        {"name": name, "mimeType": "image/png", "buffer": png(image)}
        for name, image in (("noise.png", noise), ("digit.png", test_images[0]))
    ]
    with ServerProcess("--repository", scored_repository) as scoring, browser.new_context(**LOOKS["light"]) as context:
        scoring.wait_ready()
        opened = context.new_page()
        opened.goto(f"{scoring.http}/")
        expect(opened.locator("#model")).to_be_visible()
        opened.locator("#choose").set_input_files(files)
        listed = opened.locator("#files button")
        expect(listed.nth(1)).not_to_contain_text("not like a digit")
        expect(listed.nth(0)).to_contain_text("not like a digit")
        expect(opened.locator("#said b")).to_have_text("Does not look like a digit")
        expect(opened.get_by_role("status")).to_contain_text("sure. Does not look like a digit.")
        listed.nth(1).click()
        expect(opened.locator("#said b")).to_have_text(re.compile("Sure|Fairly sure|Unsure"))


class TestWhatIsComplainedOf:
    """Tests in which the browser must report an error."""

    @pytest.fixture
    def open_page(self, browser: Browser, server: ServerProcess) -> Iterator[Page]:
        context = browser.new_context(**LOOKS["light"])
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(f"{server.http}/")
        expect(opened.locator("#model")).to_be_visible()
        yield opened
        context.close()

    def test_a_file_that_is_not_a_picture_is_refused_in_a_sentence(self, open_page: Page) -> None:
        open_page.locator("#choose").set_input_files(
            {"name": "drawing.svg", "mimeType": "image/svg+xml", "buffer": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}
        )
        expect(open_page.get_by_role("alert")).to_contain_text("Not a valid PNG, JPEG")
        expect(open_page.locator("#files button")).to_contain_text("not recognised")

    def test_a_script_that_gets_into_the_page_does_not_run(self, open_page: Page) -> None:
        open_page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.broken = true";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", "<img src='x' onerror='window.broken = true'>");
            }"""
        )
        open_page.wait_for_timeout(200)
        assert open_page.evaluate("window.broken") is None

    def test_a_server_that_is_gone_is_reported(self, browser: Browser, repository: Path) -> None:
        with ServerProcess("--repository", repository) as ending:
            ending.wait_ready()
            context = browser.new_context(**LOOKS["light"])
            opened = context.new_page()
            opened.goto(f"{ending.http}/")
            expect(opened.locator("#model")).to_be_visible()
        draw(opened, 1)
        expect(opened.get_by_role("alert")).to_have_text("The server does not answer.")
        context.close()
