"""A sheet of samples with their labels. One look shows if images are rotated, inverted or have wrong labels."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from digits_training.data.labelled import LABELS, SIDE, LabelledImages

COLUMNS = 16  # samples of each label
_GAP = 2  # pixels between two samples


def write(path: Path, labelled: LabelledImages, labels: tuple[str, ...]) -> None:
    """A PNG file with a row for each label: its name, its number of images, and samples spread evenly over them.

    Pixels are shown as the network gets them: 0, the background, is black; 255, ink, is white.
    """
    cell = SIDE + _GAP
    sheet = np.full((LABELS * cell, COLUMNS * cell), 96, np.uint8)
    for label in range(LABELS):
        indices = np.flatnonzero(labelled.labels == label)
        chosen = indices[np.linspace(0, len(indices) - 1, min(COLUMNS, len(indices))).astype(int)]
        for column, index in enumerate(chosen):
            top, left = label * cell + _GAP // 2, column * cell + _GAP // 2
            sheet[top : top + SIDE, left : left + SIDE] = labelled.images[index]
    counts = labelled.label_counts()
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes: Any = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_yticks(
        [label * cell + cell / 2 for label in range(LABELS)],
        [f"{name}  ({count:,} images)" for name, count in zip(labels, counts, strict=True)],
    )
    axes.set_xticks([])
    axes.set(title=f"Samples of {len(labelled):,} images by label: expect light ink on a black background")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
