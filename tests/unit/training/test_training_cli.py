"""The command line: one clear line and the right exit code, whatever happens."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from digits_training import cli
from digits_training.cli.commands import train
from digits_training.settings import Kind, Settings, flag

Capture = pytest.CaptureFixture[str]


def _error_line(capsys: Capture) -> str:
    """The one line on stderr."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("digits-train: ")
    return error


def test_help_and_wrong_values_answer_without_importing_tensorflow() -> None:
    script = """
import sys
from digits_training import cli
assert cli.run(["train", "--help"]) == 0
assert cli.run(["train", "--network", "rnn"]) == 2
assert not {"tensorflow", "keras", "matplotlib"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)


def test_every_setting_has_a_flag_an_environment_variable_and_help() -> None:
    options = {option.opts[0]: option for option in train.params if hasattr(option, "help")}
    expected = [each for each in fields(Settings) if each.metadata["kind"] != Kind.READING]
    assert list(options) == [*(flag(each.name) for each in expected), "--unless-published"]
    for each in expected:
        option = options[flag(each.name)]
        assert option.envvar == f"DIGITS_{each.name.upper()}"
        assert str(getattr(option, "help", "")).startswith(each.metadata["help"])


def test_help_names_the_defaults_of_each_network(capsys: Capture) -> None:
    assert cli.run(["train", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Images per step. Default: 20, cnn 128, cnn-large 128." in shown
    assert "Units of the mlp's hidden layers. Default: 20,20." in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--network", "rnn"], "--network 'rnn' is unknown: choose one of mlp, cnn, cnn-large"),
        (["train", "--epochs", "0"], "--epochs must be from 1 to 10000, not 0"),
        (["train", "--epochs", "ten"], "'--epochs'"),
        (["train", "--hidden-sizes", "20,many"], "'20,many' is not a list of numbers separated by commas"),
        (["train", "--epoch-count", "3"], "--epoch-count"),
        (["train", "--learning-rate", "-1"], "--learning-rate must be at least 0, not -1"),
        (["train", "--validation-share", "-.5"], "--validation-share must be from 0 to 0.9, not -0.5"),
        (["train", "--network", "cnn", "--hidden-sizes", "50,50"], "the cnn does not use --hidden-sizes"),
        (["train", "--dropout", "0.5"], "the mlp does not use --dropout"),
        (["trian"], "trian"),
        (["export", "1"], "--format"),
        (["export", "1", "--format", "pickle"], "'pickle' is not 'onnx'"),
        (["evaluate", "zero"], "'zero' is not a valid integer"),
        (["evaluate", "0"], "0 is not in the range x>=1"),
        (["import", "no-such-model.h5"], "'no-such-model.h5' does not exist"),
    ],
)
def test_a_value_that_cannot_be_used_exits_with_2(arguments: list[str], sentence: str, capsys: Capture) -> None:
    assert cli.run(arguments) == 2
    assert sentence in _error_line(capsys)


def test_settings_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("DIGITS_BATCH_SIZE", "0")
    assert cli.run(["train"]) == 2
    assert "--batch-size must be from 1" in _error_line(capsys)


def test_a_flag_overrules_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("DIGITS_NETWORK", "mlp")
    assert cli.run(["train", "--network", "rnn"]) == 2
    assert "'rnn'" in _error_line(capsys)


def test_missing_data_exit_with_1(tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["train", "--repository", str(tmp_path), "--data", str(tmp_path / "nowhere")]) == 1
    assert "nowhere does not exist: expected a folder of four IDX files" in _error_line(capsys)


def test_training_without_tensorflow_is_one_sentence(small_data: Path, tmp_path: Path) -> None:
    """As in an environment of `make run`, which keeps no TensorFlow."""
    arguments = ["train", "--data", str(small_data), "--repository", str(tmp_path)]
    code = f"import sys; sys.modules['keras'] = None\nfrom digits_training import cli; sys.exit(cli.run({arguments!r}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "keras is not installed here: `make install` installs it" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_repository_that_cannot_be_written_exits_with_1(tmp_path: Path, small_data: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("in the way")
    arguments = ["--repository", str(tmp_path / "file"), "--data", str(small_data), "--epochs", "1"]
    assert cli.run(["train", *arguments]) == 1
    assert "Not a directory" in _error_line(capsys)


def test_a_bug_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    from digits_training.jobs import train as training

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(training, "train", fail)
    assert cli.run(["train"]) == 1
    assert _error_line(capsys) == "digits-train: ZeroDivisionError: division by zero\n"


def test_an_error_writes_no_control_sequence_of_a_model_file_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    from digits_training.errors import ModelFileError
    from digits_training.jobs import import_model

    def fail(*_arguments: object) -> None:
        raise ModelFileError("refused: the operation \x1b[2J\rall is well is not among those that can be imported")

    monkeypatch.setattr(import_model, "import_model", fail)
    (tmp_path / "model.h5").touch()
    assert cli.run(["import", str(tmp_path / "model.h5")]) == 1
    line = _error_line(capsys)
    assert line.rstrip("\n").isprintable()
    assert "all is well is not among those that can be imported" in line


@pytest.mark.parametrize("asked", ["flag", "environment"])
def test_the_traceback_of_a_bug_is_printed_on_request(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from digits_training.jobs import train as training

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(training, "train", fail)
    if asked == "environment":
        monkeypatch.setenv("DIGITS_TRACEBACK", "1")
    assert cli.run(["--traceback", "train"] if asked == "flag" else ["train"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "digits-train: ZeroDivisionError: division by zero"


def test_a_model_below_the_bar_exits_with_3_and_is_not_published(
    tmp_path: Path, small_data: Path, capsys: Capture
) -> None:
    arguments = ["--repository", str(tmp_path), "--data", str(small_data), "--epochs", "1", "--min-accuracy", "0.95"]
    assert cli.run(["train", *arguments]) == 3
    assert "not published: test accuracy 0." in (line := _error_line(capsys))
    assert "is below --min-accuracy 0.95" in line
    assert [path.name for path in (tmp_path / "digits").iterdir()] == [".checkpoints"]
    # What was trained is kept: the same command with a lower bar publishes at once.
    assert cli.run(["train", *arguments, "--min-accuracy", "0.1"]) == 0
    assert "resuming after epoch 1" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["1"]
