"""The page at /, in a real browser: somebody draws, drops, types, listens."""

import base64
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, expect
from support.browser import PATIENCE_MS, Complaints, chromium
from support.handwriting import DIGITS, Stroke
from support.servers import ServerProcess

expect.set_options(timeout=PATIENCE_MS)

DESKTOP: dict[str, Any] = {"viewport": {"width": 1180, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
LOOKS = {
    "light": DESKTOP | {"color_scheme": "light"},
    "dark": DESKTOP | {"color_scheme": "dark"},
    "phone": PHONE | {"color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(params=["light"])
def page(request: pytest.FixtureRequest, browser: Browser, server: ServerProcess) -> Iterator[Page]:
    """The page with its model shown; the browser must have nothing to complain of by the end."""
    context = browser.new_context(**LOOKS[request.param])
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    complaints = Complaints(opened, server.http)
    opened.goto(f"{server.http}/")
    expect(opened.locator("#model")).to_be_visible()
    yield opened
    context.close()
    assert complaints == []


in_every_look = pytest.mark.parametrize("page", list(LOOKS), indirect=True)


def sheet(page: Page) -> FloatRect:
    box = page.locator("#sheet").bounding_box()
    assert box
    return box


def on(box: FloatRect, stroke: Stroke) -> list[tuple[float, float]]:
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]


def draw(page: Page, digit: int) -> None:
    for stroke in DIGITS[digit]:
        points = on(sheet(page), stroke)
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def shows(page: Page, digit: int) -> None:
    """The page has settled on this digit: in figures, in words for a screen reader, in the table."""
    expect(page.locator("#digit")).to_have_text(str(digit))
    expect(page.get_by_role("status")).to_have_text(re.compile(rf"^{digit}, [0-9.]+% sure\.$"))
    expect(page.locator("tr.best th")).to_have_text(str(digit))


def png_of(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


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


def test_a_screen_reader_is_told_what_is_there(page: Page) -> None:
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


def test_pictures_that_are_chosen_are_recognised_and_listed(
    page: Page, test_images: NDArray[np.uint8], test_labels: NDArray[np.uint8]
) -> None:
    files: list[Any] = [
        {"name": f"{index}.png", "mimeType": "image/png", "buffer": png_of(test_images[index])} for index in range(3)
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


DELIVER = """([kind, name, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const load = new DataTransfer();
    load.items.add(new File([bytes], name, { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: load, bubbles: true, cancelable: true })
        : new DragEvent(kind, { dataTransfer: load, bubbles: true, cancelable: true });
    document.getElementById("sheet").dispatchEvent(event);
}"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_is_recognised(
    page: Page, test_images: NDArray[np.uint8], way: str
) -> None:
    page.evaluate(DELIVER, [way, "seven.png", base64.b64encode(png_of(test_images[0])).decode()])
    shows(page, 7)
    expect(page.locator("#hint")).to_be_hidden()


def test_drawing_goes_on_after_a_picture(page: Page, test_images: NDArray[np.uint8]) -> None:
    page.evaluate(DELIVER, ["drop", "seven.png", base64.b64encode(png_of(test_images[0])).decode()])
    shows(page, 7)
    draw(page, 3)
    shows(page, 3)


def test_the_pixels_shown_are_those_the_model_saw(page: Page, test_images: NDArray[np.uint8]) -> None:
    page.evaluate(DELIVER, ["drop", "seven.png", base64.b64encode(png_of(test_images[0])).decode()])
    shows(page, 7)
    shown = page.evaluate(
        """() => Array.from(document.getElementById("pixels").getContext("2d").getImageData(0, 0, 28, 28).data)
            .filter((_, index) => index % 4 === 3)"""
    )
    assert np.abs(np.array(shown).reshape(28, 28) - test_images[0].astype(int)).max() <= 1


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
    page.evaluate(DELIVER, ["drop", "seven.png", base64.b64encode(png_of(test_images[0])).decode()])
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


def test_nothing_moves_for_those_who_asked_for_stillness(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    assert page.locator(".bar").first.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"


def test_an_image_that_does_not_look_like_a_digit_is_said_not_to(
    browser: Browser, scored_repository: Path, test_images: NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    files: list[Any] = [
        {"name": name, "mimeType": "image/png", "buffer": png_of(image)}
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
    """Where the browser's console has something to say, because that is what is tested."""

    @pytest.fixture
    def open_page(self, browser: Browser, server: ServerProcess) -> Iterator[Page]:
        context = browser.new_context(**LOOKS["light"])
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(f"{server.http}/")
        expect(opened.locator("#model")).to_be_visible()
        yield opened
        context.close()

    def test_a_file_that_is_no_picture_is_refused_in_a_sentence(self, open_page: Page) -> None:
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

    def test_a_server_that_is_gone_is_said_to_be(self, browser: Browser, repository: Path) -> None:
        with ServerProcess("--repository", repository) as ending:
            ending.wait_ready()
            context = browser.new_context(**LOOKS["light"])
            opened = context.new_page()
            opened.goto(f"{ending.http}/")
            expect(opened.locator("#model")).to_be_visible()
        draw(opened, 1)
        expect(opened.get_by_role("alert")).to_have_text("The server does not answer.")
        context.close()
