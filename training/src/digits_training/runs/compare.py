"""Lists runs, and compares some of them: settings that differ, accuracy, seconds, and the curves in one picture."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from digits_training.errors import SettingsError
from digits_training.runs.record import EPOCHS_FILE, RUN_FILE, Say

PICTURE = "compare.png"
MOST_CURVES = 10  # in one picture: more colours cannot be distinguished


@dataclass(frozen=True)
class Record:
    """What a finished or running run wrote about itself."""

    name: str
    facts: dict[str, Any]
    epochs: list[dict[str, float]]

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings and its data, by name."""
        return {**self.facts.get("settings", {}), "data": self.facts.get("data")}


def records(runs: Path, names: tuple[str, ...] = ()) -> list[Record]:
    """The runs of these names, in their order, or all, oldest first. Raises SettingsError."""
    if names:
        return [_record(_folder(runs, name), runs) for name in names]
    return [_record(path.parent, runs) for path in sorted(runs.rglob(RUN_FILE))]


def list_runs(runs: Path, say: Say) -> None:
    """Prints a line for each run."""
    found = records(runs)
    if not found:
        say(f"no runs in {runs}: --runs names another folder")
        return
    rows = [["run", "outcome", "test accuracy", "seconds", "epochs", "data"]]
    rows += [[*_figures(record), str(len(record.epochs)), str(record.facts.get("data"))] for record in found]
    _table(rows, say)
    say("compare some of them: digits-train runs RUN RUN …")


def compare(runs: Path, names: tuple[str, ...], picture: Path, say: Say) -> None:
    """Prints how these runs differ, and draws their curves into `picture`. Raises SettingsError."""
    if len(names) < 2:
        raise SettingsError("name at least two runs to compare, or none to list all")
    compare_records(records(runs, names), picture, say)


def compare_records(found: list[Record], picture: Path, say: Say) -> None:
    """The same for runs that have been read."""
    differing = differing_settings(found)
    rows = [["run", "outcome", "test accuracy", "seconds", *differing]]
    rows += [[*_figures(record), *(_text(record.settings.get(name)) for name in differing)] for record in found]
    _table(rows, say)
    if not differing:
        say("the runs have the same settings")
    drawn = [record for record in found if record.epochs]
    if drawn:
        _draw(drawn[:MOST_CURVES], differing, picture)
        left_out = f" (the first {MOST_CURVES} of {len(drawn)} runs)" if len(drawn) > MOST_CURVES else ""
        say(f"curves in one picture: {picture}{left_out}")


def differing_settings(found: list[Record]) -> list[str]:
    """The names of the settings that differ between these runs."""
    names = dict.fromkeys(name for record in found for name in record.settings)
    return [name for name in names if len({_text(record.settings.get(name)) for record in found}) > 1]


def _folder(runs: Path, name: str) -> Path:
    """The folder of a run by its name, by the beginning of its name if only one begins so, or by its path."""
    for folder in (runs / name, Path(name)):
        if (folder / RUN_FILE).is_file():
            return folder
    found = sorted(path.parent for path in runs.rglob(RUN_FILE) if path.parent.name.startswith(name))
    if len(found) == 1:
        return found[0]
    raise SettingsError(f"{'more than one' if found else 'no'} run in {runs} is called {name!r}: see digits-train runs")


def _record(folder: Path, runs: Path) -> Record:
    name = folder.relative_to(runs).as_posix() if folder.is_relative_to(runs) else str(folder)
    try:
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = {"outcome": f"{RUN_FILE} cannot be read"}
    path = folder / EPOCHS_FILE
    epochs: list[dict[str, float]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values()]  # the last line may be incomplete
        epochs = [{name: float(value) for name, value in row.items()} for row in rows]
    return Record(name, facts, epochs)


def _figures(record: Record) -> list[str]:
    facts = record.facts
    outcome = str(facts.get("outcome"))
    accuracy = facts.get("test_accuracy")
    return [
        record.name,
        f"version {facts['version']}" if outcome == "published" else outcome,
        "" if accuracy is None else f"{accuracy:.4f}",
        str(facts.get("seconds", "")),
    ]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _table(rows: list[list[str]], say: Say) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(found: list[Record], differing: list[str], path: Path) -> None:
    """Draws loss and accuracy of every epoch, on the validation images, or on the training images if there are none."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), ("Loss (nats)", "Accuracy"), strict=True)
    for axes, name, title in panels:
        for index, record in enumerate(found):
            validated = f"val_{name}" in record.epochs[0]
            label = ", ".join(f"{setting} {_text(record.settings.get(setting))}" for setting in differing[:3])
            epochs = [epoch["epoch"] for epoch in record.epochs]
            style: dict[str, Any] = {"color": f"C{index}", "marker": "o", "markersize": 3}
            values = [epoch[f"val_{name}" if validated else name] for epoch in record.epochs]
            axes.plot(epochs, values, label=f"{record.name}: {label}" if label else record.name, **style)
            if validated:
                learnt = [epoch[name] for epoch in record.epochs]
                axes.plot(epochs, learnt, color=f"C{index}", linestyle=":", linewidth=1)
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.suptitle("Validation as lines with dots; training, while learnt, as dotted lines", fontsize=10)
    figure.legend(handles, labels, loc="outside lower center", fontsize=8)
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
