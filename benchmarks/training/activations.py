"""The lesson of the activation functions: draws three, trains the mlp with each, rewrites docs/tutorial.md's figures.

.venv/bin/python -m benchmarks.training.activations
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.common.paths import DIGITS_TRAIN, ROOT
from benchmarks.common.report import replace_figures
from digits_training.repository import manifest

PAGE, PICTURE = ROOT / "docs" / "tutorial.md", ROOT / "docs" / "activations.png"
CURVES = ROOT / "docs" / "history.png"
BEGIN = "<!-- figures: begin (python -m benchmarks.training.activations) -->"
COLOURS = {"step": "#9a9a9a", "sigmoid": "#d9660a", "relu": "#1f5fa8"}
NAMES = {"step": "step", "sigmoid": "sigmoid", "relu": "ReLU"}


def main() -> int:
    measured = {name: trained(name) for name in COLOURS}
    draw(measured)
    lines = [
        "| activation of the hidden layers | first epoch | last epoch | test set |",
        "|---|---|---|---|",
        *(
            f"| {NAMES[name]} | {history['val_accuracy'][0]:.1%} | {history['val_accuracy'][-1]:.1%} | {test:.1%} |"
            for name, (history, test) in measured.items()
        ),
    ]
    replace_figures(PAGE, "\n".join(lines), BEGIN)
    return 0


def trained(activation: str) -> tuple[dict[str, list[float]], float]:
    """The history of a run with this activation, and its accuracy on the test set; the curves of the ReLU are kept."""
    with tempfile.TemporaryDirectory() as repository:
        command: list[str | Path] = [
            DIGITS_TRAIN,
            "train",
            "--activation",
            activation,
            "--repository",
            repository,
            "--force",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        version = Path(repository) / "digits/1"
        history = json.loads((version / "report/history.json").read_text())
        if activation == "relu":
            CURVES.write_bytes((version / "report/history.png").read_bytes())
        return history, manifest.read(version).metrics.test_accuracy


def draw(measured: dict[str, tuple[dict[str, list[float]], float]]) -> None:
    """Each function, its derivative, and the validation accuracy of the network that has it."""
    x = np.linspace(-4, 4, 801)
    sigmoid = 1 / (1 + np.exp(-x))
    functions = {"step": (x > 0).astype(float), "sigmoid": sigmoid, "relu": np.maximum(x, 0)}
    derivatives = {"step": np.zeros_like(x), "sigmoid": sigmoid * (1 - sigmoid), "relu": (x > 0).astype(float)}
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels: Any = figure.subplots(1, 3)
    titles = ("Activation", "Its derivative: what the layers before it learn by", "Accuracy on validation images")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
    for name, colour in COLOURS.items():
        style: dict[str, Any] = {"color": colour, "label": NAMES[name]}
        panels[0].plot(x, functions[name], **style)
        panels[1].plot(x, derivatives[name], **style)
        history = measured[name][0]
        panels[2].plot(range(1, len(history["val_accuracy"]) + 1), history["val_accuracy"], marker="o", **style)
    panels[0].set(ylim=(-0.1, 2), xlabel="weighted sum")
    panels[1].set(ylim=(-0.05, 1.1), xlabel="weighted sum")
    panels[2].set(ylim=(0, 1), xlabel="Epoch")
    panels[0].legend()
    FigureCanvasAgg(figure)
    figure.savefig(PICTURE, dpi=100)
    print(f"wrote {PICTURE.name}")


if __name__ == "__main__":
    sys.exit(main())
