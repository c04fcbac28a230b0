"""What people look at: training curves, confusion matrix, and the model card that tells of the model in words."""

import json
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from digits.v1.manifest_pb2 import Manifest
from digits_training.evaluate import Evaluation

_DOTS_PER_INCH = 120
_BLUE, _ORANGE = "#1f5fa8", "#d9660a"


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """history.json (one list a figure, one value an epoch) and history.png."""
    figures = {name: [epoch[name] for epoch in history] for name in history[0]}
    (folder / "history.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

    epochs = range(1, len(history) + 1)
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name, title in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("Loss (nats)", "Accuracy"), strict=True):
        axes.plot(epochs, figures[name], color=_BLUE, marker="o", markersize=3, label="training, while learnt")
        axes.plot(epochs, figures[f"val_{name}"], color=_ORANGE, marker="o", markersize=3, label="validation")
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, folder / "history.png")


def write_confusion_matrix(folder: Path, evaluation: Evaluation, labels: tuple[str, ...]) -> None:
    """confusion_matrix.png: counts on the test set; the colour is the share of the row, so that errors show."""
    counts = evaluation.confusion
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = Figure(figsize=(7.5, 7), layout="constrained")
    axes: Any = figure.subplots()
    axes.imshow(shares**0.4, cmap="Blues", vmin=0, vmax=1)
    for row, column in [(row, column) for row in range(10) for column in range(10)]:
        colour = "white" if shares[row, column] > 0.3 else "black" if counts[row, column] else "#bbbbbb"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    rotation = 0 if max(map(len, labels)) <= 3 else 40
    axes.set_xticks(range(10), labels, rotation=rotation, ha="center" if rotation == 0 else "right")
    axes.set_yticks(range(10), labels)
    axes.set(
        title=f"{evaluation.accuracy:.2%} of {evaluation.images:,} test images answered rightly",
        xlabel="Answer",
        ylabel="True label",
    )
    _save(figure, folder / "confusion_matrix.png")


def write_model_card(folder: Path, manifest: Manifest) -> None:
    """model_card.md, all of it from the manifest."""
    training, metrics = manifest.training, manifest.metrics
    rows = [
        f"| {name} | {figures.precision:.4f} | {figures.recall:.4f} | {figures.images:,} |"
        for name, figures in zip(manifest.labels, metrics.labels, strict=True)
    ]
    hyperparameters = "\n".join(f"- {name}: {value}" for name, value in sorted(training.hyperparameters.items()))
    frameworks = ", ".join(f"{name} {version}" for name, version in sorted(manifest.framework_versions.items()))
    card = f"""# {manifest.model_name}: {training.network}, {metrics.test_accuracy:.2%} on the test set

Classifies images of 28 × 28 pixels, one byte each, 0 background to 255 ink, as one of ten labels:
{", ".join(manifest.labels)}.

## Figures

Test set: {metrics.test_images:,} images that decided nothing during training. Accuracy {metrics.test_accuracy:.4f},
cross-entropy {metrics.test_loss:.4f} nats, expected calibration error {metrics.expected_calibration_error:.4f}.
Validation: accuracy {metrics.validation_accuracy:.4f}, cross-entropy {metrics.validation_loss:.4f} nats.

| label | precision | recall | images |
|---|---|---|---|
{chr(10).join(rows)}

![Training curves](history.png)
![Confusion matrix](confusion_matrix.png)

## How it was made

{training.parameters:,} parameters, fitted to {training.training_images:,} images; {training.validation_images:,} were
held out for validation. Built with {frameworks}.

{hyperparameters}

`model.tflite` was converted from `model.keras`; on the test set both give the same answers, and their probabilities
differ by {metrics.conversion_max_difference:.1e} at most.

## Limits

It knows centred, upright images of one symbol, like those of its training set. Whatever else it is shown, it answers
with one of its ten labels; its confidence is a hint, not a proof.
"""
    (folder / "model_card.md").write_text(card, encoding="utf-8")


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=_DOTS_PER_INCH)
