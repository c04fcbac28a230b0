"""A checkpoint is the last complete state of its own run, or it is not used."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from digits_training.fitting.checkpoint import Checkpoint, Progress, fingerprint, source_checksum


class Variable:
    """What a checkpoint needs of a variable: its shape, its value, and a way to set it."""

    def __init__(self, value: list[float]) -> None:
        self._value = np.array(value, np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return self._value

    def assign(self, value: np.ndarray) -> None:
        self._value = value


PROGRESS = Progress(epoch=2, images=500, loss_sum=1.25, right=400, history=[{"loss": 0.5}, {"loss": 0.25}])


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "checkpoints", "run").save([Variable([1, 2]), Variable([3])], PROGRESS)
    state = [Variable([0, 0]), Variable([0])]
    assert Checkpoint(tmp_path / "checkpoints", "run").restore(state) == PROGRESS
    assert [np.asarray(variable).tolist() for variable in state] == [[1, 2], [3]]


def test_another_runs_checkpoint_is_not_restored(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "run").save([Variable([1])], PROGRESS)
    assert Checkpoint(tmp_path, "another").restore([Variable([0])]) is None


def test_every_decisive_value_changes_the_fingerprint() -> None:
    base = fingerprint({"seed": 0, "epochs": 10}, ["abc"])
    assert base == fingerprint({"epochs": 10, "seed": 0}, ["abc"])
    assert len({base, fingerprint({"seed": 1, "epochs": 10}, ["abc"]), fingerprint({"seed": 0}, ["abd"])}) == 3


@pytest.mark.parametrize("kept", [0, 1, 100, 600])
def test_a_truncated_checkpoint_counts_as_none_and_changes_nothing(tmp_path: Path, kept: int) -> None:
    Checkpoint(tmp_path, "run").save([Variable([1])], PROGRESS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:kept])
    state = [Variable([0])]
    assert Checkpoint(tmp_path, "run").restore(state) is None
    assert np.asarray(state[0]).tolist() == [0]


def test_a_checkpoint_of_another_shape_counts_as_none(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "run").save([Variable([1])], PROGRESS)
    assert Checkpoint(tmp_path, "run").restore([Variable([0, 0])]) is None


def test_a_save_that_fails_leaves_the_last_one_and_no_litter(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "run")
    checkpoint.save([Variable([1])], PROGRESS)
    with pytest.raises(TypeError):
        checkpoint.save([Variable([2])], Progress(history=[{"loss": object()}]))  # type: ignore[dict-item]
    assert len(list(tmp_path.iterdir())) == 1
    assert checkpoint.restore([Variable([0])]) == PROGRESS


def test_the_folder_goes_with_its_last_checkpoint(tmp_path: Path) -> None:
    first, second = (Checkpoint(tmp_path / "checkpoints", run) for run in ("first", "second"))
    first.save([], PROGRESS)
    second.save([], PROGRESS)
    first.remove()
    assert (tmp_path / "checkpoints").is_dir()
    second.remove()
    assert not (tmp_path / "checkpoints").exists()
    second.remove()


DIE_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from digits_training.fitting.checkpoint import Checkpoint, Progress

def die(_descriptor):
    os.kill(os.getpid(), signal.SIGKILL)

os.fsync = die  # everything is written, nothing is durable yet
Checkpoint(Path(sys.argv[1]), "run").save([np.zeros(10)], Progress())
"""


def test_what_a_killed_save_left_goes_with_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoints", "run")
    checkpoint.save([Variable([1])], PROGRESS)
    killed = subprocess.run([sys.executable, "-c", DIE_WHILE_SAVING, tmp_path / "checkpoints"], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert checkpoint.restore([Variable([0])]) == PROGRESS
    checkpoint.remove()
    assert not (tmp_path / "checkpoints").exists()


def test_what_a_living_twin_is_saving_is_left_alone(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "run")
    real_fsync = os.fsync

    def other_run_ends(descriptor: int) -> None:
        Checkpoint(tmp_path, "run").remove()
        real_fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", other_run_ends)
        checkpoint.save([Variable([1])], PROGRESS)
    assert checkpoint.restore([Variable([0])]) == PROGRESS


def test_a_change_of_the_code_is_another_run(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    code = tmp_path / "room/steps.py"
    code.write_text("RATE = 1\n")
    before = source_checksum(tmp_path)
    assert source_checksum(tmp_path) == before
    code.write_text("RATE = 2\n")
    assert source_checksum(tmp_path) != before
    code.rename(tmp_path / "steps.py")
    assert source_checksum(tmp_path) != before
