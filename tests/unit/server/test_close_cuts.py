"""Pictures cropped so closely that their edges show the digit's ink, not its paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits_server.pictures.images import normalise
from digits_server.pictures.margin import with_margin

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

SHADES: list[tuple[Colour, Colour]] = [
    ((255, 255, 255), (0, 0, 0)),
    ((0, 0, 0), (255, 255, 255)),
    ((247, 243, 230), (28, 34, 92)),
    ((40, 140, 50), (226, 60, 50)),
]
"""Paper and ink: in both polarities, and also different in colour only."""


MOST_DIFFERENCE = 6.0
"""Grey levels, on average over an image, by which two pictures of one digit may differ."""


def bold(digit: int, paper: Colour, ink: Colour, margin: int) -> Picture:
    """A digit with strokes so thick that they cover most of its box, cropped to its ink with a margin."""
    page = Image.new("RGB", (400, 400), paper)
    draw = ImageDraw.Draw(page)
    if digit == 7:
        draw.line([(140, 130), (260, 130), (190, 270)], fill=ink, width=50, joint="curve")
    else:
        for top in (110, 190) if digit == 8 else (110,):
            draw.ellipse((140, top, 260, 290 if digit == 0 else top + 100), outline=ink, width=36)
    inked = (np.asarray(page) != paper).any(axis=2)
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    left, top, right, bottom = (int(at) for at in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return np.asarray(page.crop((left - margin, top - margin, right + margin, bottom + margin)))


def alike(one: Picture, other: Picture) -> bool:
    """Whether both pictures show the model nearly the same, give or take a pixel's shift."""
    seen, wanted = normalise(one).astype(int), normalise(other)
    moved = [np.roll(seen, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(float(np.abs(image - wanted).mean()) for image in moved) < MOST_DIFFERENCE


@settings(max_examples=60, deadline=None)
@given(digit=st.sampled_from([0, 7, 8]), shades=st.sampled_from(SHADES), margin=st.integers(0, 40))
def test_however_close_a_bold_digit_is_cut_it_stays_the_same(
    digit: int, shades: tuple[Colour, Colour], margin: int
) -> None:
    assert alike(bold(digit, *shades, margin), bold(digit, *shades, 90))


def test_a_loose_stroke_along_the_edge_of_a_close_cut_is_kept() -> None:
    page = Image.new("RGB", (130, 200), "white")
    draw = ImageDraw.Draw(page)
    draw.line([(30, 10), (129, 10)], fill="black", width=20)  # the bar of a 5, not quite touching
    draw.line([(20, 40), (20, 90), (110, 100), (110, 185), (0, 189)], fill="black", width=20, joint="curve")
    assert normalise(np.asarray(page))[4:7, 12:].max() > 200


@pytest.mark.parametrize("frame", [0, 12])
def test_a_frame_is_not_taken_for_paper(frame: int) -> None:
    page = Image.new("RGB", (280, 280), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((frame, frame, 279 - frame, 279 - frame), outline="black", width=14)
    draw.line([(80, 70), (190, 70), (130, 210)], fill="black", width=20, joint="curve")
    bare = Image.new("RGB", (280, 280), "white")
    ImageDraw.Draw(bare).line([(80, 70), (190, 70), (130, 210)], fill="black", width=20, joint="curve")
    assert alike(np.asarray(page), np.asarray(bare))


def test_a_picture_with_a_shadow_across_it_is_left_as_it_is() -> None:
    page = np.full((200, 200, 3), 240, np.uint8)
    page[np.indices((200, 200)).sum(axis=0) > 200] = 150
    page[50:150, 90:110] = 30
    assert with_margin(page) is page


def test_a_digit_in_the_middle_of_its_page_is_left_as_it_is() -> None:
    page = bold(8, *SHADES[0], 60)
    assert with_margin(page) is page


@settings(max_examples=100, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_every_picture_lies_completely_within_its_margin(picture: Picture) -> None:
    around = with_margin(picture)
    margin = (around.shape[0] - picture.shape[0]) // 2
    height, width = picture.shape[:2]
    assert np.array_equal(around[margin : margin + height, margin : margin + width], picture)
