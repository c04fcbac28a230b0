"""The plots of a report: curves, confusion matrix, calibration, the worst mistakes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from digits_training.data import SIDE, LabelledImages
from digits_training.evaluation.figures import CALIBRATION_BINS, Evaluation

HISTORY_PLOT = "history.png"
Probabilities = NDArray[np.float32]
"""float32[N, 10]: one row for each image."""

_DOTS_PER_INCH = 120
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9660a", "#9a9a9a"
_FLOORS = (0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # where the axis of shares can begin
_ROWS, _COLUMNS = 5, 5  # of mistakes
_CELL_HEIGHT, _CELL_WIDTH = 38, 34  # pixels of an image with its words


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """history.json (for each figure, a list with a value per epoch) and history.png; validation if there was any."""
    figures = {name: [epoch[name] for epoch in history] for name in history[0]}
    (folder / "history.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

    epochs = range(1, len(history) + 1)
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), ("Loss (nats)", "Accuracy"), strict=True)
    for axes, name, title in panels:
        axes.plot(epochs, figures[name], color=_BLUE, marker="o", markersize=3, label="training, during the epoch")
        if f"val_{name}" in figures:
            axes.plot(epochs, figures[f"val_{name}"], color=_ORANGE, marker="o", markersize=3, label="validation")
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, folder / HISTORY_PLOT)


def write_confusion_matrix(folder: Path, evaluation: Evaluation, labels: tuple[str, ...]) -> None:
    """confusion_matrix.png: counts on the test set; the colour is the share of the row, so that errors show."""
    counts = evaluation.confusion
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = Figure(figsize=(7.5, 7), layout="constrained")
    axes: Any = figure.subplots()
    axes.imshow(shares**0.4, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.3 else "black" if counts[row, column] else "#bbbbbb"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(10), labels, **_slanted_if_long(labels))
    axes.set_yticks(range(10), labels)
    axes.set(
        title=f"{evaluation.accuracy:.2%} of {evaluation.images:,} test images answered correctly",
        xlabel="Answer",
        ylabel="True label",
    )
    _save(figure, folder / "confusion_matrix.png")


def write_per_label(folder: Path, evaluation: Evaluation, labels: tuple[str, ...]) -> None:
    """per_label.png: precision and recall of each label on the test set."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes: Any = figure.subplots()
    places = np.arange(10)
    lowest = float(min(evaluation.precision.min(), evaluation.recall.min()))
    for offset, name, values, colour in (
        (-0.2, "precision", evaluation.precision, _BLUE),
        (0.2, "recall", evaluation.recall, _ORANGE),
    ):
        bars = axes.bar(places + offset, values, width=0.38, color=colour, label=name)
        axes.bar_label(bars, [f"{value:.1%}".removesuffix("%") for value in values], fontsize=7, padding=2)
    floor = max(tick for tick in _FLOORS if tick <= max(0, 1 - 1.5 * (1 - lowest)))
    axes.set_ylim(floor, 1 + (1 - floor) * 0.12)
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xticks(places, labels, **_slanted_if_long(labels))
    axes.set(title=f"Precision and recall of each label, in % (the axis begins at {floor:.0%})")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, folder / "per_label.png")


def write_calibration(folder: Path, evaluation: Evaluation) -> None:
    """calibration.png: how often answers of a given confidence are correct, and how many such answers there are."""
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = evaluation.bin_counts > 0
    curve.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="perfectly calibrated")
    share, count = evaluation.bin_accuracy[filled], evaluation.bin_counts[filled]
    low, high = _wilson(share, count)
    bars = (np.maximum(share - low, 0), np.maximum(high - share, 0))
    style = {"color": _BLUE, "ecolor": "#a9c3e2", "marker": "o", "markersize": 5, "capsize": 2}
    curve.errorbar(
        evaluation.bin_confidence[filled], share, bars, linestyle="none", label="this model, 95 % interval", **style
    )
    curve.set(
        title=f"Calibration on the test set: expected error {evaluation.calibration_error:.2%}",
        ylabel="Share answered correctly",
        ylim=(-0.02, 1.02),
    )
    curve.legend()
    curve.grid(alpha=0.3)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    counts.bar(edges[:-1], evaluation.bin_counts, width=1 / CALIBRATION_BINS, align="edge", color=_BLUE, ec="white")
    counts.set(xlabel="Confidence", ylabel="Images", yscale="log", xlim=(0, 1), ylim=(0.7, None))
    _save(figure, folder / "calibration.png")


def write_mistakes(
    folder: Path, test: LabelledImages, probabilities: NDArray[np.float32], labels: tuple[str, ...]
) -> None:
    """mistakes.png: the test images answered wrongly with the highest confidence, 25 of them at most."""
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != test.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][: _ROWS * _COLUMNS]
    sheet = np.zeros((_ROWS * _CELL_HEIGHT, _COLUMNS * _CELL_WIDTH), np.uint8)
    figure = Figure(figsize=(8.5, 9.5), layout="constrained")
    axes: Any = figure.subplots()  # one for all images: twenty-five take four times as long to draw
    for place, index in enumerate(worst):
        row, column = divmod(place, _COLUMNS)
        top, left = (row + 1) * _CELL_HEIGHT - SIDE, column * _CELL_WIDTH + (_CELL_WIDTH - SIDE) // 2
        sheet[top : top + SIDE, left : left + SIDE] = test.images[index]
        said = f"{labels[test.labels[index]]}, answered {labels[answers[index]]}\n{confidence[index]:.1%} sure"
        axes.text(left + SIDE / 2, top - 1, said, ha="center", va="bottom", fontsize=8)
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
    figure.suptitle(
        f"The {len(worst)} most confident of {len(wrong):,} mistakes on the test set"
        if len(wrong)
        else "No mistakes on the test set"
    )
    _save(figure, folder / "mistakes.png")


def _wilson(share: NDArray[np.float64], count: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95 % confidence interval of a share measured in `count` trials (Wilson 1927): wide if trials are few."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half


def _slanted_if_long(labels: tuple[str, ...]) -> dict[str, Any]:
    return {"rotation": 40, "ha": "right"} if max(map(len, labels)) > 3 else {}


def _save(figure: Figure, path: Path) -> None:
    figure.set_dpi(_DOTS_PER_INCH)
    # Figure.savefig draws everything twice.
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]  # matplotlib has no types here
