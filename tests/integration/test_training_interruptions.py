"""A training run that is stopped, killed or out of disk space: no half-published version, no lost work, no litter."""

import os
import random
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.servers.process import SCRIPTS
from support.waiting import until

from digits_training import data
from digits_training.repository import manifest

SECONDS = 120  # deadline of any one run


class Run:
    """`digits-train train` in a separate process, on 2,000 images of MNIST."""

    def __init__(self, repository: Path, data_set: Path, *more: str, largest_file: int | None = None) -> None:
        scratch = repository / "../scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        arguments = ["--repository", str(repository), "--data", str(data_set), "--min-accuracy", "0", *more]
        self.process = subprocess.Popen(
            [SCRIPTS / "digits-train", "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        if largest_file is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
        self.model = repository / "digits"
        self.scratch = scratch

    def lines_until(self, beginning: str) -> list[str]:
        """The output of the run up to a line with this beginning; all output if there is no such line."""
        assert self.process.stdout
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(beginning):
                break
        return lines

    def end(self) -> tuple[int, str]:
        """The exit code and what was written to stderr."""
        _, error = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, error


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
    """The version that an undisturbed run publishes."""
    run = Run(tmp_path_factory.mktemp("uninterrupted") / "models", data_set, *EPOCHS)
    assert run.end() == (0, "")
    return run.model / "1"


def _same_model(version: Path, other: Path) -> bool:
    """Whether both have the same history and figures; the history has four numbers an epoch, each to the last bit."""
    same_history = (version / "report/history.json").read_bytes() == (other / "report/history.json").read_bytes()
    return same_history and manifest.read(version).metrics == manifest.read(other).metrics


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_sigterm_stops_cleanly_and_the_next_start_goes_on(data_set: Path, tmp_path: Path, uninterrupted: Path) -> None:
    run = Run(tmp_path / "models", data_set, *EPOCHS)
    run.lines_until("epoch  3/30")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == (
        143,
        "digits-train: stopped by SIGTERM; the same command resumes from the last checkpoint\n",
    )
    assert _names(run.model) == [".checkpoints"]
    assert len(_names(run.model / ".checkpoints")) == 1

    again = Run(tmp_path / "models", data_set, *EPOCHS)
    resumed = next(line for line in again.lines_until("resuming") if line.startswith("resuming"))
    assert int(resumed.split()[3].rstrip(",")) >= 3
    assert again.end() == (0, "")
    assert _names(again.model) == ["1"]
    assert _same_model(again.model / "1", uninterrupted)
    assert _names(again.scratch) == []


def test_sigkill_at_any_moment_leaves_nothing_half_published(
    data_set: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    run = Run(tmp_path / "models", data_set, *EPOCHS)
    run.lines_until(f"epoch {random.Random(0).randrange(2, 28):2}/30")
    run.process.kill()
    assert run.end()[0] == -signal.SIGKILL
    assert _names(run.model) == [".checkpoints"]

    while_publishing = Run(tmp_path / "models", data_set, *EPOCHS)
    until(lambda: any(while_publishing.model.glob(".incoming-*/model.keras")), "the version is being written", SECONDS)
    while_publishing.process.kill()
    assert while_publishing.end()[0] == -signal.SIGKILL
    assert "1" not in _names(while_publishing.model)

    last = Run(tmp_path / "models", data_set, *EPOCHS)
    assert last.end() == (0, "")
    assert _names(last.model) == ["1"]
    assert _same_model(last.model / "1", uninterrupted)


@pytest.mark.parametrize(
    ("largest_file", "left"),
    [(30_000, []), (230_000, [".checkpoints"])],
    ids=["at the checkpoint", "at the version"],
)
def test_a_full_disk_is_one_line_and_no_litter(
    largest_file: int, left: list[str], data_set: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    """A limit on the size of files fails writes the way a full disk does, and works without privileges."""
    repository = tmp_path / "models"
    published = {path.relative_to(uninterrupted): path.read_bytes() for path in _files(uninterrupted)}
    (repository / "digits/1").parent.mkdir(parents=True)
    _copy(uninterrupted, repository / "digits/1")

    run = Run(repository, data_set, "--hidden-sizes", "60", largest_file=largest_file)
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
