"""Connected pieces of a picture: pixels that touch, at a side or a corner, are one piece."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Box:
    """The smallest rectangle around something, in pixels; `bottom` and `right` are the first row and column outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def side(self) -> int:
        return max(self.bottom - self.top, self.right - self.left)

    def within(self, other: "Box", margin: float) -> bool:
        """Whether this box lies in the other one grown by `margin` pixels on each side, wholly."""
        return (
            self.top >= other.top - margin
            and self.left >= other.left - margin
            and self.bottom <= other.bottom + margin
            and self.right <= other.right + margin
        )

    def meets(self, other: "Box", margin: float) -> bool:
        """Whether this box has a pixel in common with the other one grown by `margin` pixels on each side."""
        return (
            self.top < other.bottom + margin
            and self.bottom > other.top - margin
            and self.left < other.right + margin
            and self.right > other.left - margin
        )


def box_of(mask: Mask) -> Box:
    """The box around the true pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def label(mask: Mask) -> Labels:
    """A number for each true pixel, from 1 up, the same for pixels of one piece; 0 elsewhere.

    Works on runs of pixels in a row, joined to those they touch in the row above.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    pieces = _joined(rows.tolist(), starts.tolist(), ends.tolist())
    labels = np.zeros((height, width), np.int32)
    labels[mask] = np.repeat(np.unique(pieces, return_inverse=True)[1] + 1, ends - starts)
    return labels


def _joined(rows: list[int], starts: list[int], ends: list[int]) -> list[int]:
    """For each run the first run of its piece."""
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    first = 0  # of the runs above that may still touch one to come
    for run, row in enumerate(rows):
        while rows[first] < row - 1 or (rows[first] == row - 1 and ends[first] < starts[run]):
            first += 1
        above = first
        while rows[above] == row - 1 and starts[above] <= ends[run]:
            one, other = sorted((root(run), root(above)))
            parents[other] = one
            above += 1
    return [root(run) for run in range(len(rows))]
