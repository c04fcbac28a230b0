"""The page at /, in a real browser: somebody draws with a mouse, a finger, a pen or the keyboard, or listens."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from support.pictures.handwriting import DIGITS
from support.pictures.page import draw, in_every_look, on, sheet, shows


def test_each_of_the_ten_digits_drawn_with_the_mouse_is_recognised(page: Page) -> None:
    for digit in DIGITS:
        draw(page, digit)
        expect(page.locator("#digit")).to_have_text(str(digit))
        expect(page.locator("tr.best th")).to_have_text(str(digit))
        page.locator("#clear").click()
        expect(page.locator("#said")).to_have_text("Nothing yet")


def test_it_is_recognised_while_it_is_drawn(page: Page) -> None:
    points = on(sheet(page), DIGITS[3][0])
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    expect(page.locator("#digit")).to_have_text("3")
    page.mouse.up()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_finger_draws_and_the_page_stays_where_it_is(page: Page) -> None:
    touch = page.context.new_cdp_session(page)
    for stroke in DIGITS[2]:
        points = on(sheet(page), stroke)
        for kind, point in [("touchStart", points[0]), *(("touchMove", point) for point in points[1:])]:
            at = [{"x": point[0], "y": point[1]}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    shows(page, 2)
    assert page.evaluate("scrollY") == 0


def test_a_pen_that_is_pressed_harder_draws_thicker(page: Page) -> None:
    pen = page.context.new_cdp_session(page)

    def ink_of_a_stroke(force: float) -> int:
        page.keyboard.press("Delete")
        points = on(sheet(page), DIGITS[7][1])
        for kind, (x, y) in [("mousePressed", points[0]), *(("mouseMoved", point) for point in points[1:])]:
            event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            pen.send("Input.dispatchMouseEvent", event | {"pointerType": "pen", "force": force})
        x, y = points[-1]
        pen.send(
            "Input.dispatchMouseEvent",
            {"type": "mouseReleased", "x": x, "y": y, "button": "left", "pointerType": "pen"},
        )
        picture = Image.open(BytesIO(page.locator("#sheet").screenshot())).convert("L")
        return int((np.asarray(picture) < 128).sum())

    page.locator("#sheet").focus()
    assert ink_of_a_stroke(0.9) > 1.3 * ink_of_a_stroke(0.2)


def test_the_keyboard_alone_draws_undoes_and_clears(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator("#sheet")).to_be_focused()
    for key, times in [("ArrowLeft", 7), (" ", 1), ("ArrowRight", 15), ("ArrowDown", 1)]:
        for _ in range(times):
            page.keyboard.press(key)
    for _ in range(13):  # the long stroke of the 7, slanting: two keys held
        page.keyboard.down("ArrowDown")
        page.keyboard.down("ArrowDown")
        page.keyboard.down("ArrowLeft")
        page.keyboard.up("ArrowLeft")
        page.keyboard.up("ArrowDown")
    page.keyboard.press(" ")
    shows(page, 7)
    page.keyboard.press("Control+z")
    expect(page.locator("#said")).to_have_text("Nothing yet")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#clear")).to_be_enabled()
    page.keyboard.press("Delete")
    expect(page.get_by_role("status")).to_have_text("Cleared.")
    expect(page.locator("#clear")).to_be_disabled()


@in_every_look
def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(page: Page) -> None:
    draw(page, 1)
    shows(page, 1)
    page.locator("#sheet").focus()
    reached = []
    for key in ["Shift+Tab", *["Tab"] * 10]:
        page.keyboard.press(key)
        reached.append(
            page.evaluate(
                """() => {
                    const here = document.activeElement;
                    const ring = here.id === "choose" ? here.nextElementSibling : here;
                    const outline = getComputedStyle(ring);
                    const width = outline.outlineStyle === "solid" ? parseInt(outline.outlineWidth) : 0;
                    return [here.id || here.tagName, width];
                }"""
            )
        )
    names = [name for name, _ in reached]
    start = names.index("sheet")
    assert names[start : start + 4] == ["sheet", "clear", "undo", "choose"]
    assert names[start + 4 :].count("A") >= 3
    assert all(width == 3 for name, width in reached if name != "BODY")


def test_a_screen_reader_gets_a_description_of_the_page(page: Page) -> None:
    draw(page, 8)
    shows(page, 8)
    for role, name in [
        ("application", "Sheet to draw a digit on"),
        ("button", "Clear"),
        ("button", "Undo"),
        ("button", "Choose pictures"),
        ("table", "Probability of each answer"),
        ("img", "What the model saw: a 8, as it takes it"),
        ("heading", "The model that answers"),
        ("link", "Confusion matrix"),
    ]:
        expect(page.get_by_role(role, name=name, exact=True)).to_be_visible()  # type: ignore[arg-type]  # roles, all
    rows = page.get_by_role("row").filter(has=page.get_by_role("rowheader"))
    expect(rows).to_have_count(10)
    assert rows.nth(8).inner_text().split()[0] == "8"
