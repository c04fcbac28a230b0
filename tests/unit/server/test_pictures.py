"""The steps from a picture to a digit: pieces, light, rules, frames, specks, transparency, weight."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits_server.pictures.components import label
from digits_server.pictures.digit import digit_in, threshold
from digits_server.pictures.images import from_file, normalise
from digits_server.pictures.ink import ink_on
from digits_server.pictures.strokes import as_penned, stroke_width

Picture = NDArray[np.uint8]
SIDE = 200

MOST_DIFFERENCE = 3.0
"""Grey levels, on average over an image, by which two pictures of one digit may differ; one short bar more makes 5."""


def plain(colour: tuple[int, int, int] = (250, 248, 240)) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), colour)


def seven(page: Image.Image, colour: tuple[int, int, int] = (30, 30, 60), width: int = 14) -> Image.Image:
    ImageDraw.Draw(page).line([(60, 50), (140, 50), (95, 155)], fill=colour, width=width, joint="curve")
    return page


def alike(one: Picture, other: Picture) -> bool:
    """Whether two images for the model show nearly the same, give or take a pixel's shift."""
    moved = [np.roll(one, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(float(np.abs(image.astype(int) - other).mean()) for image in moved) < MOST_DIFFERENCE


REFERENCE = normalise(np.asarray(seven(plain())))


def lit(page: Image.Image, light: NDArray[np.float64]) -> Picture:
    return (np.asarray(page) * light[:, :, None]).astype(np.uint8)


def test_light_that_fades_across_the_page_is_no_ink() -> None:
    fading = np.linspace(1, 0.3, SIDE)[None, :] * np.ones((SIDE, 1))
    assert alike(normalise(lit(seven(plain()), fading)), REFERENCE)


def test_a_shadow_with_a_sharp_edge_is_no_ink() -> None:
    shadow = np.where(np.indices((SIDE, SIDE)).sum(axis=0) > SIDE, 0.7, 1.0)
    assert alike(normalise(lit(seven(plain()), shadow)), REFERENCE)


def test_ink_that_only_its_colour_tells_from_paper_is_seen() -> None:
    page = seven(plain((40, 140, 50)), (226, 60, 50))
    assert np.ptp(np.asarray(page.convert("L"))) < 20
    assert alike(normalise(np.asarray(page)), REFERENCE)


@pytest.mark.parametrize("both", [False, True])
def test_ruled_and_squared_paper_is_paper(both: bool) -> None:
    page = plain()
    draw = ImageDraw.Draw(page)
    for at in range(15, SIDE, 30):
        draw.line([(0, at), (SIDE, at)], fill=(120, 150, 200), width=2)
        if both:
            draw.line([(at, 0), (at, SIDE)], fill=(120, 150, 200), width=2)
    assert alike(normalise(np.asarray(seven(page))), REFERENCE)


@pytest.mark.parametrize("inset", [0, 8])
def test_a_frame_around_the_digit_is_not_the_digit(inset: int) -> None:
    page = seven(plain())
    ImageDraw.Draw(page).rectangle((inset, inset, SIDE - 1 - inset, SIDE - 1 - inset), outline=(0, 0, 0), width=4)
    assert alike(normalise(np.asarray(page)), REFERENCE)


def test_specks_are_not_the_digit_but_a_loose_bar_of_it_is() -> None:
    page = seven(plain())
    draw = ImageDraw.Draw(page)
    for x, y in [(20, 20), (180, 40), (30, 180), (170, 170), (150, 20)]:
        draw.ellipse((x, y, x + 6, y + 6), fill=(60, 50, 50))
    assert alike(normalise(np.asarray(page)), REFERENCE)
    draw.line([(55, 110), (85, 110)], fill=(30, 30, 60), width=14)  # the stroke of a 7 in Europe, not quite touching
    assert not alike(normalise(np.asarray(page)), REFERENCE)


def test_grain_is_no_ink() -> None:
    noisy = np.asarray(seven(plain((200, 200, 200))), float) + np.random.default_rng(0).normal(0, 20, (SIDE, SIDE, 1))
    assert alike(normalise(np.clip(noisy, 0, 255).astype(np.uint8)), REFERENCE)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (250, 210, 40)])
def test_ink_of_any_colour_on_nothing_is_ink(colour: tuple[int, int, int]) -> None:
    page = seven(Image.new("RGBA", (SIDE, SIDE), (*colour, 0)), (*colour, 255))  # type: ignore[arg-type]
    file = BytesIO()
    page.save(file, "PNG")
    assert alike(from_file(file.getvalue(), "file", SIDE * SIDE), REFERENCE)


@pytest.mark.parametrize("width", [3, 8, 14, 22, 34])
def test_hairlines_and_bold_strokes_come_to_a_pen_s_weight(width: int) -> None:
    penned = as_penned(digit_in(ink_on(np.asarray(seven(plain(), width=width))), "image"), 20)
    assert stroke_width(np.pad(penned, 4)) / 4 == pytest.approx(3, abs=0.7)


def test_a_digit_in_pieces_is_followed_from_piece_to_piece() -> None:
    page = plain()
    draw = ImageDraw.Draw(page)
    for top, bottom in [(145, 165), (100, 140), (20, 95)]:  # a 1 whose pen skipped twice
        draw.line([(100, top), (100, bottom)], fill=(30, 30, 60), width=14)
    cut = digit_in(ink_on(np.asarray(page)), "image")
    assert cut.shape[0] == pytest.approx(145, abs=4)


def test_the_width_of_a_stroke_is_measured_in_any_direction() -> None:
    for end in [(100, 10), (100, 60), (100, 100), (10, 100)]:
        page = Image.new("L", (120, 120))
        ImageDraw.Draw(page).line([(10, 10), end], fill=255, width=8)
        assert stroke_width(np.asarray(page, np.float32) / np.float32(255)) == pytest.approx(8, rel=0.35)


def test_the_threshold_parts_two_shades_however_many_pixels_each_has() -> None:
    ink = np.concatenate([np.full(900, 10), np.full(60, 180)]).astype(np.float32)
    assert 10 < threshold(ink + np.linspace(0, 8, 960, dtype=np.float32)) < 180


@settings(max_examples=100, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_pixels_that_touch_are_one_piece_and_others_are_not(mask: NDArray[np.bool_]) -> None:
    labels = label(mask)
    assert np.array_equal(labels > 0, mask)
    assert set(labels[mask]) == set(range(1, labels.max() + 1))
    assert np.array_equal(_same(labels, mask), _same(_flooded(mask), mask))


def _same(labels: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of true pixels are one piece."""
    flat = labels[mask]
    same: NDArray[np.bool_] = flat[:, None] == flat[None, :]
    return same


def _flooded(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The slow way: every pixel takes the largest number around it, until nothing changes."""
    numbers = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0).astype(np.int32)
    while True:
        padded = np.pad(numbers, 1)
        around = [
            padded[1 + row : 1 + row + mask.shape[0], 1 + column : 1 + column + mask.shape[1]]
            for row in (-1, 0, 1)
            for column in (-1, 0, 1)
        ]
        grown = np.where(mask, np.max(around, axis=0), 0)
        if np.array_equal(grown, numbers):
            return numbers
        numbers = grown
