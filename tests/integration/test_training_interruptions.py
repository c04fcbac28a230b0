"""A training run that is stopped, killed or out of disk space: no half-published version, no lost work, no litter."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.servers.process import SCRIPTS
from support.training.warm_command import WarmCommand
from support.waiting import until

from digits_training import data
from digits_training.repository import manifest

SECONDS = 120  # deadline of any one run


def _arguments(repository: Path, data_set: Path, *more: str) -> list[str]:
    return ["train", "--repository", str(repository), "--data", str(data_set), "--min-accuracy", "0", *more]


class Run:
    """`digits-train train` in a separate process, on 2,000 images of MNIST."""

    def __init__(
        self, warm: WarmCommand, repository: Path, data_set: Path, *more: str, largest_file: int | None = None
    ) -> None:
        self.model, self.scratch = repository / "digits", repository / "../scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(self.scratch)}
        self.process = warm.start(_arguments(repository, data_set, *more), environment, largest_file)

    def lines_until(self, beginning: str) -> list[str]:
        """The output of the run up to a line with this beginning; all output if there is no such line."""
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(beginning):
                break
        return lines

    def resumed_after(self) -> int:
        """The number of epochs of the checkpoint from which the run goes on."""
        line = self.lines_until("resuming")[-1]
        assert line.startswith("resuming"), line
        return int(line.split()[3].rstrip(","))

    def end(self) -> tuple[int, str]:
        """The exit code and what was written to stderr."""
        return self.process.end(SECONDS)


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmCommand]:
    with WarmCommand() as started:
        yield started


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mnist = data.read(None)
    path = tmp_path_factory.mktemp("data") / "small.npz"
    parts: dict[str, Any] = {
        "x_train": mnist.train.images[:2000],
        "y_train": mnist.train.labels[:2000],
        "x_test": mnist.test.images[:1000],
        "y_test": mnist.test.labels[:1000],
    }
    np.savez_compressed(path, **parts)
    return path


EPOCHS = ["--epochs", "30", "--optimizer", "adam"]


@pytest.fixture(scope="module")
def uninterrupted(data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version that an undisturbed run of the installed program publishes."""
    repository = tmp_path_factory.mktemp("uninterrupted") / "models"
    command = [SCRIPTS / "digits-train", *_arguments(repository, data_set, *EPOCHS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert ended.stderr == ""
    return repository / "digits/1"


def _same_model(version: Path, other: Path) -> bool:
    """Whether both have the same history and figures; the history has four numbers an epoch, each to the last bit."""
    same_history = (version / "report/history.json").read_bytes() == (other / "report/history.json").read_bytes()
    return same_history and manifest.read(version).metrics == manifest.read(other).metrics


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_run_stopped_then_killed_then_killed_while_it_publishes_ends_as_if_undisturbed(
    warm: WarmCommand, data_set: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    """SIGTERM stops it cleanly, SIGKILL leaves nothing half-published, and each start goes on from the checkpoint."""
    stopped = Run(warm, tmp_path / "models", data_set, *EPOCHS)
    stopped.lines_until("epoch  3/30")
    stopped.process.send_signal(signal.SIGTERM)
    assert stopped.end() == (
        143,
        "digits-train: stopped by SIGTERM; the same command resumes from the last checkpoint\n",
    )
    assert _names(stopped.model) == [".checkpoints"]
    assert len(_names(stopped.model / ".checkpoints")) == 1
    assert _names(stopped.scratch) == []

    killed = Run(warm, tmp_path / "models", data_set, *EPOCHS)
    done = killed.resumed_after()
    assert done >= 3
    if done < 28:  # it can have finished more epochs than it had told of
        killed.lines_until(f"epoch {random.Random(0).randrange(done + 1, 29):2}/30")
    killed.process.send_signal(signal.SIGKILL)
    assert killed.end()[0] == -signal.SIGKILL
    assert _names(killed.model) == [".checkpoints"]

    while_publishing = Run(warm, tmp_path / "models", data_set, *EPOCHS)
    until(lambda: any(while_publishing.model.glob(".incoming-*/model.keras")), "the version is being written", SECONDS)
    while_publishing.process.send_signal(signal.SIGKILL)
    assert while_publishing.end()[0] == -signal.SIGKILL
    assert "1" not in _names(while_publishing.model)

    last = Run(warm, tmp_path / "models", data_set, *EPOCHS)
    assert last.resumed_after() == 30
    assert last.end() == (0, "")
    assert _names(last.model) == ["1"]
    assert _same_model(last.model / "1", uninterrupted)


@pytest.mark.parametrize(
    "fault",
    [(30_000, []), (230_000, [".checkpoints"])],
    ids=["at the checkpoint", "at the version"],
)
def test_a_full_disk_is_one_line_and_no_litter(
    fault: tuple[int, list[str]], warm: WarmCommand, data_set: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    """A limit on the size of files fails writes the way a full disk does, and works without privileges."""
    largest_file, left = fault
    repository = tmp_path / "models"
    published = {path.relative_to(uninterrupted): path.read_bytes() for path in _files(uninterrupted)}
    (repository / "digits/1").parent.mkdir(parents=True)
    _copy(uninterrupted, repository / "digits/1")

    run = Run(warm, repository, data_set, "--hidden-sizes", "60", largest_file=largest_file)
    assert run.end() == (1, "digits-train: could not write: File too large\n")
    assert _names(run.model) == sorted([*left, "1"])
    assert {path.relative_to(run.model / "1"): path.read_bytes() for path in _files(run.model / "1")} == published
    assert not any(run.model.glob(".checkpoints/.incoming-*"))
    assert _names(run.scratch) == []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _copy(source: Path, target: Path) -> None:
    for path in _files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
