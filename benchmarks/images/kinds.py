"""The measured set: for each kind of picture the files and what digit they show. The same bytes on every run."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.images.faces import Faces, all_faces
from benchmarks.images.ink import face
from benchmarks.images.pages import BLACK, PAGES, PAPER, PEN, WHITE, encoded, picture, sheet, write

FACE_SIDE = 160
"""Pixels of a typeset digit's longer side on its page of 280."""

SCHEMES = ((WHITE, BLACK), (BLACK, WHITE), (PAPER, PEN))
"""Paper and ink of typeset digits, in turn."""


CHUNK = 16
"""Pictures given to a process at a time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of picture. `drawn` if its digits are redrawn from the test set, not from typefaces."""

    title: str
    drawn: bool
    files: list[bytes]
    labels: NDArray[np.int64]


def all_kinds(images: NDArray[np.uint8], labels: NDArray[np.uint8], pool: Executor) -> Iterator[Kind]:
    """Each kind of page with every one of these digits on it, then each group of typefaces with ten digits a face."""
    for number, page in enumerate(PAGES):
        randoms = [np.random.default_rng([number, index]) for index in range(len(images))]
        yield Kind(
            page.title, True, list(pool.map(page.make, images, randoms, chunksize=CHUNK)), labels.astype(np.int64)
        )
    for group in all_faces():
        yield _typeset(group)


def _typeset(group: Faces) -> Kind:
    files = []
    for number, font in enumerate(group.files):
        for digit in range(10):
            paper, colour = SCHEMES[(number + digit) % len(SCHEMES)]
            files.append(encoded(picture(write(sheet(paper), face(font, str(digit), FACE_SIDE), colour))))
    return Kind(group.title, False, files, np.tile(np.arange(10), len(group.files)))
