"""Actions of a user on the page at /, and the page's answers."""

import re
from typing import Any

import pytest
from playwright.sync_api import FloatRect, Page, expect

from support.pictures.handwriting import DIGITS, Stroke

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
in_every_look = pytest.mark.parametrize("page", list(LOOKS), indirect=True)
DELIVER = """([kind, name, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const load = new DataTransfer();
    load.items.add(new File([bytes], name, { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: load, bubbles: true, cancelable: true })
        : new DragEvent(kind, { dataTransfer: load, bubbles: true, cancelable: true });
    document.getElementById("sheet").dispatchEvent(event);
}"""


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
