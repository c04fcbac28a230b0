"""With --tensorboard, the figures of each epoch are there for TensorBoard, without its package."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from digits_training import cli
from digits_training.runs.tensorboard import Scalars


def _scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of every scalar in a folder of event files."""
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    (path,) = folder.iterdir()
    for record in tf.data.TFRecordDataset(str(path)):
        event = Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            yield value.tag, event.step, float(tf.make_ndarray(value.tensor))


def test_the_event_files_have_the_figures_of_each_epoch(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs, runs = tmp_path / "logs", tmp_path / "runs"
    where = ["--data", str(small_data), "--repository", str(tmp_path), "--runs", str(runs), "--tensorboard", str(logs)]
    train = ["train", *where, "--epochs", "2", "--no-publish"]
    assert cli.run(train) == 0
    (run,) = runs.iterdir()
    assert f"for TensorBoard: {logs / run.name}; to look at it: tensorboard --logdir {logs}" in capsys.readouterr().out
    with (run / "epochs.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    for folder, prefix in (("train", ""), ("validation", "val_")):
        expected = [
            (f"epoch_{name}", step, float(np.float32(epoch[prefix + name])))
            for step, epoch in enumerate(epochs)
            for name in ("loss", "accuracy")
        ]
        assert list(_scalars(logs / run.name / folder)) == expected

    assert cli.run(train) == 0  # goes on from the checkpoint, with nothing left to train
    (again,) = set(runs.iterdir()) - {run}
    assert len(list(_scalars(logs / again.name / "train"))) == 4
    assert (again / "epochs.csv").read_text() == (run / "epochs.csv").read_text()


def test_a_folder_that_cannot_be_written_is_said_before_training(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    where = ["--data", str(small_data), "--repository", str(tmp_path), "--tensorboard", str(tmp_path / "file/logs")]
    assert cli.run(["train", *where, "--epochs", "1"]) == 1
    said = capsys.readouterr()
    assert "Not a directory" in said.err
    assert "epoch 1/1" not in said.out


def test_a_folder_that_goes_away_ends_the_writing_and_not_the_run(tmp_path: Path) -> None:
    said: list[str] = []
    scalars = Scalars(tmp_path / "logs", "run", said.append)
    scalars.folder.rmdir()
    scalars.folder.touch()
    for epochs in (1, 2):
        scalars.epochs([{"loss": 1.0}] * epochs)
    assert said == [f"the figures for TensorBoard are incomplete: {scalars.folder} cannot be written"]
