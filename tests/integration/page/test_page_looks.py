"""The page at /, in a real browser: the model it shows, and a page for every screen and every eye."""

import base64

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from playwright.sync_api import Page, expect
from support.pictures.page import DELIVER, draw, in_every_look, shows
from support.pictures.pixels import png


def test_the_model_is_shown_with_its_card_and_its_plots(page: Page) -> None:
    expect(page.locator("#serving")).to_contain_text("mlp, version 1 · 9")
    plots = page.locator("#plots img")
    expect(plots).to_have_count(5)
    for index in range(5):
        plots.nth(index).scroll_into_view_if_needed()
        page.wait_for_function("index => document.querySelectorAll('#plots img')[index].naturalWidth > 100", arg=index)
    page.locator("summary").click()
    expect(page.locator("#card")).to_contain_text("It knows centred, upright images of one symbol")
    expect(page.locator("#card table").first.locator("tbody tr")).to_have_count(10)


@in_every_look
def test_an_accessibility_checker_finds_nothing(page: Page, test_images: NDArray[np.uint8]) -> None:
    page.evaluate(DELIVER, ["drop", "seven.png", base64.b64encode(png(test_images[0])).decode()])
    shows(page, 7)
    page.locator("summary").click()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_phone_scrolls_one_way_only_and_has_targets_for_thumbs(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for target in page.locator("button:visible, label.button, summary").all():
        box = target.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44
    digit, drawn_on = page.locator("#digit").bounding_box(), page.locator("#sheet").bounding_box()
    assert digit
    assert drawn_on
    assert digit["y"] < drawn_on["y"] + drawn_on["height"] < 844, "answer and sheet are seen at once"


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_the_dark_page_is_dark_and_its_drawing_light(page: Page) -> None:
    draw(page, 0)
    shows(page, 0)
    paper, ink = page.evaluate(
        """() => {
            const look = getComputedStyle(document.documentElement);
            return ["--card", "--ink"].map((name) => parseInt(look.getPropertyValue(name).trim().slice(1, 3), 16));
        }"""
    )
    assert paper < 64
    assert ink > 192


def test_nothing_moves_with_reduced_motion(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    assert page.locator(".bar").first.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"
