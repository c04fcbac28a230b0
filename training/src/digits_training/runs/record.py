"""The folder of one run: its settings and outcome, the figures of its epochs while it runs, its report."""

import csv
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digits_training.errors import Interrupted, RefusedError
from digits_training.settings import Kind, Settings
from digits_training.settings.networks import name_of

RUN_FILE = "run.json"
EPOCHS_FILE = "epochs.csv"
REPORT = "report"
SAMPLES = "samples.png"

Say = Callable[[str], None]


class Run:
    """One run, in `folder`, which is None if it cannot be written: nothing more is recorded, and the run continues."""

    def __init__(self, folder: Path | None, facts: dict[str, Any], say: Say) -> None:
        self.folder = folder
        self._facts = facts
        self._say = say
        self._started = time.monotonic()
        self._epochs_written = 0
        self.tell()

    def tell(self, **facts: Any) -> None:
        """Records facts about the run in run.json; they replace facts of the same names."""
        self._facts |= facts
        with self.writing() as folder:
            if folder:
                seconds = round(time.monotonic() - self._started, 1)
                text = json.dumps(self._facts | {"seconds": seconds}, indent=2, default=str)
                (folder / RUN_FILE).write_text(text + "\n", encoding="utf-8")

    def epochs(self, history: list[dict[str, float]]) -> None:
        """Appends the epochs of `history` that were not written yet to epochs.csv."""
        with self.writing() as folder:
            if not folder:
                return
            with (folder / EPOCHS_FILE).open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if not self._epochs_written:
                    writer.writerow(["epoch", *history[0]])
                for index in range(self._epochs_written, len(history)):
                    writer.writerow([index + 1, *history[index].values()])
            self._epochs_written = len(history)

    def keep_report(self, report: Path) -> None:
        """Copies the folder of a finished report."""
        with self.writing() as folder:
            if folder:
                shutil.copytree(report, folder / REPORT, dirs_exist_ok=True)

    @contextmanager
    def writing(self) -> Iterator[Path | None]:
        """The folder, for a block that writes to it. A failure to write ends the record, but not the run."""
        try:
            yield self.folder
        except OSError as error:
            self._say(f"the record of this run is incomplete: {self.folder}: {error.strerror or error}")
            self.folder = None


@contextmanager
def recorded(command: str, settings: Settings, say: Say) -> Iterator[Run]:
    """Records what the block does in a folder below --runs; prints where it is, also if the block fails."""
    run = _start(command, settings, say)
    try:
        yield run
    except RefusedError as error:
        run.tell(outcome="refused", reason=str(error))
        raise
    except Interrupted as error:
        run.tell(outcome="interrupted", reason=str(error))
        raise
    except Exception as error:
        run.tell(outcome="failed", reason=f"{type(error).__name__}: {error}")
        raise
    finally:
        if run.folder:
            say(f"record of this run: {run.folder}")


def _start(command: str, settings: Settings, say: Say) -> Run:
    started = datetime.now(UTC)
    facts = {
        "command": command,
        "started": started.isoformat(timespec="seconds"),
        "outcome": "running",
        "data": str(settings.data or "MNIST"),
        "settings": settings.of_kind(Kind.HYPERPARAMETER) if command == "train" else {},
    }
    what = name_of(settings.network).replace(":", "-") if command == "train" else command
    stem = f"{started:%Y%m%d-%H%M%S}-{what}"
    try:
        return Run(new_folder(settings.runs, stem), facts, say)
    except OSError as error:
        say(f"this run is not recorded: {settings.runs}: {error.strerror}; name another folder with --runs")
        return Run(None, facts, say)


def new_folder(runs: Path, stem: str) -> Path:
    """A new folder; two runs that start in the same second get different ones."""
    runs.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
