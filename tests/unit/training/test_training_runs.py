"""Every run records its settings, figures and report; runs are compared; a version is evaluated on other data."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from digits_training import cli
from digits_training.data import DataSet, LabelledImages, checks
from digits_training.repository import manifest
from digits_training.runs import sweep
from digits_training.runs.record import recorded
from digits_training.runs.sweep import combinations, runs_at_once
from digits_training.settings import Settings

from .conftest import WriteDataSet

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIGITS_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def _train(tmp_path: Path, data: Path, *more: str) -> int:
    where = ["--repository", str(tmp_path / "models"), "--data", str(data)]
    return cli.run(["train", *where, "--epochs", "2", *more])


def _only(runs: Path) -> Path:
    (folder,) = runs.iterdir()
    return folder


@pytest.mark.usefixtures("drawn_pictures")
def test_a_refused_run_leaves_its_report_and_says_where(
    small_data: Path, tmp_path: Path, runs: Path, capsys: Capture
) -> None:
    assert _train(tmp_path, small_data, "--min-accuracy", "0.99") == 3
    folder = _only(runs)
    assert f"record of this run: {folder}" in capsys.readouterr().out
    kept = {path.name for path in (folder / "report").iterdir()}
    assert {"history.png", "confusion_matrix.png", "mistakes.png", "model_card.md"} <= kept
    assert (folder / "samples.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((folder / "run.json").read_text())
    assert facts["outcome"] == "refused"
    assert 0 < facts["test_accuracy"] < 0.99
    assert facts["settings"]["epochs"] == 2
    with (folder / "epochs.csv").open() as file:
        epochs = list(csv.DictReader(file))
    history = json.loads((folder / "report/history.json").read_text())
    assert [float(epoch["val_loss"]) for epoch in epochs] == history["val_loss"]
    assert [epoch["epoch"] for epoch in epochs] == ["1", "2"]


def test_a_run_can_be_kept_from_publishing_and_published_later(
    small_data: Path, tmp_path: Path, runs: Path, capsys: Capture
) -> None:
    assert _train(tmp_path, small_data, "--min-accuracy", "0.99", "--no-publish") == 0
    assert "the gate would refuse: test accuracy" in capsys.readouterr().out
    assert not (tmp_path / "models/digits/1").exists()
    assert (_only(runs) / "report/confusion_matrix.png").exists()
    assert _train(tmp_path, small_data, "--min-accuracy", "0") == 0
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert (tmp_path / "models/digits/1").exists()
    assert _train(tmp_path, small_data, "--no-publish", "--force") == 2


def test_a_folder_that_cannot_be_written_costs_the_record_and_not_the_run(
    small_data: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    assert _train(tmp_path, small_data, "--min-accuracy", "0", "--runs", str(tmp_path / "file/runs")) == 0
    assert "this run is not recorded" in capsys.readouterr().out


def test_a_folder_that_fills_up_ends_the_record_and_not_the_run(tmp_path: Path) -> None:
    said: list[str] = []
    with recorded("train", Settings(runs=tmp_path / "runs"), said.append) as run:
        shutil.rmtree(tmp_path / "runs")
        run.tell(test_accuracy=0.5)
        run.epochs([{"loss": 1.0}])
    assert len(said) == 1
    assert said[0].startswith("the record of this run is incomplete: ")


def test_runs_are_listed_and_compared(
    small_data: Path, tmp_path: Path, runs: Path, capsys: Capture, blank_pictures: pytest.MonkeyPatch
) -> None:
    """Of the pictures, only that of the comparison is drawn."""
    for rate in ("0.01", "0.05"):
        assert _train(tmp_path, small_data, "--no-publish", "--learning-rate", rate) == 0
    first, second = sorted(path.name for path in runs.iterdir())
    capsys.readouterr()
    assert cli.run(["runs"]) == 0
    listed = capsys.readouterr().out
    assert first in listed
    assert second in listed
    blank_pictures.undo()
    assert cli.run(["runs", first, second]) == 0
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()[:3]]
    assert head[-1] == "learning_rate"
    assert [row[-1] for row in rows] == ["0.01", "0.05"]
    assert (runs / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert cli.run(["runs", first]) == 2
    assert cli.run(["runs", first, "nothing"]) == 2
    assert "no run in " in capsys.readouterr().err


def test_a_version_is_evaluated_on_other_data(
    published: Path, small: DataSet, tmp_path: Path, runs: Path, capsys: Capture
) -> None:
    repository = shutil.copytree(published, tmp_path / "models")
    np.savez(tmp_path / "mine.npz", x=255 - small.test.images[:200], y=small.test.labels[:200])
    evaluate = ["evaluate", "1", "--repository", str(repository), "--data", str(tmp_path / "mine.npz")]
    assert cli.run(evaluate) == 0
    said = capsys.readouterr().out
    assert "evaluating version 1 on 200 images of" in said
    assert "which are not the data in its manifest" in said
    assert "look like dark ink on light paper" in said
    assert cli.run([*evaluate, "--invert"]) == 0
    assert "dark ink" not in capsys.readouterr().out
    worse, better = (json.loads((path / "run.json").read_text()) for path in sorted(runs.iterdir()))
    assert worse["test_accuracy"] < better["test_accuracy"]
    assert better["images"] == 200
    for folder in runs.iterdir():
        assert (folder / "report/confusion_matrix.png").exists()
        assert (folder / "samples.png").exists()
    assert list((repository / "digits").iterdir()) == [repository / "digits/1"]


def test_misleading_data_are_warned_of_before_training_and_on_the_card(
    small: DataSet, write_data_set: WriteDataSet, tmp_path: Path, capsys: Capture
) -> None:
    labels = small.train.labels
    kept = np.flatnonzero((labels != 0) & ((labels != 9) | (np.arange(len(labels)) < 300)))
    train = small.train.take(kept)
    data = write_data_set(tmp_path / "mine", LabelledImages(255 - train.images, train.labels), small.test)
    assert _train(tmp_path, data, "--min-accuracy", "0") == 0
    said = capsys.readouterr().out
    card = (tmp_path / "models/digits/1/report/model_card.md").read_text()
    before_training = said[: said.index("epoch 1/2")]
    for warning in ("100% of the images look like dark ink", "label 0: no training images", "label 9: fewer than 50"):
        assert f"warning: {warning}" in before_training
        assert f"- {warning}" in card
    assert "begin with 1" in card


def test_data_held_out_as_test_images_are_found_again_by_the_audit(
    small: DataSet, tmp_path: Path, capsys: Capture
) -> None:
    np.savez(tmp_path / "mine.npz", x=255 - small.train.images, y=small.train.labels)
    path = tmp_path / "mine.npz"
    choices = ["--test-share", "0.3", "--seed", "4", "--invert", "--min-accuracy", "0"]
    assert _train(tmp_path, path, *choices) == 0
    assert "30% of the images are held out" in capsys.readouterr().out
    assert manifest.read(tmp_path / "models/digits/1").metrics.test_images == 900
    assert cli.run(["evaluate", "1", "--repository", str(tmp_path / "models"), "--data", str(path)]) == 0
    assert "version 1 agrees with its manifest" in capsys.readouterr().out


def test_mnist_is_warned_of_in_nothing(mnist: DataSet) -> None:
    assert checks.warnings(mnist.train, mnist.test, labels=tuple("0123456789"), inverted=False) == []


BLANK = "from matplotlib.figure import Figure; Figure.draw = lambda figure, renderer: None; "


def test_a_sweep_trains_every_combination_and_compares_them(
    small_data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """With white pictures, as in the other tests; the test of runs that fail starts them as they are."""
    monkeypatch.setattr(sweep, "_MAIN", BLANK + sweep._MAIN)
    monkeypatch.chdir(tmp_path)
    arguments = ["--over", "hidden-sizes=8,8/9", "--data", str(small_data), "--epochs", "1"]
    assert cli.run(["sweep", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[-1] for line in lines if "-mlp" in line) == ["8,8", "9"]
    (folder,) = runs.iterdir()
    assert (folder / "compare.png").exists()
    assert len([*folder.glob("*/report/confusion_matrix.png")]) == 2
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ("learning-rte=0.1,0.2", "must be a hyperparameter and its values"),
        ("seed=1", "gives 1 combinations of values"),
        ("repository=a,b", "must be a hyperparameter"),
    ],
)
def test_a_sweep_over_nothing_is_refused(over: str, sentence: str, capsys: Capture) -> None:
    assert cli.run(["sweep", "--over", over]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("over", "network", "expected"),
    [("epochs=1,2", "mlp", 2), ("epochs=1,2", "cnn", 1), ("network=mlp,cnn", "mlp", 1), ("network=mlp,mlp", "cnn", 2)],
)
def test_a_sweep_runs_as_many_at_once_as_the_cores_have_room_for(over: str, network: str, expected: int) -> None:
    assert runs_at_once(combinations([over]), network, cores=2) == expected
    assert runs_at_once(combinations([over]), network, cores=1) == 1


def test_a_sweep_whose_runs_fail_says_which(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["sweep", "--over", "seed=1,2", "--data", str(tmp_path / "nowhere")]) == 1
    assert "2 of 2 runs failed; the text files in " in capsys.readouterr().err
    assert "nowhere does not exist" in next(runs.glob("*/001.txt")).read_text()
