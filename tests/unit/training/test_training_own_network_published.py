"""The user's own network is treated like a built-in one: checkpoint, export, proof, gate, records."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

from digits_training import cli
from digits_training.importing import loading
from digits_training.repository import manifest
from digits_training.runs.sweep import combinations, runs_at_once
from digits_training.untrusted import built
from digits_training.untrusted.layers import NOTHING_AT_INFERENCE

NETWORK = """
import keras
from keras import layers

def build():
    first = [keras.Input((28, 28, 1)), layers.RandomBrightness(0.1), layers.Resizing(28, 28), layers.Rescaling(1 / 255)]
    hidden = [layers.Flatten(), layers.Dense(20, kernel_regularizer="l2"), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*first, *hidden, layers.Dense(10)])
"""


def test_a_network_of_ones_own_is_published_by_the_same_way(small_data: Path, tmp_path: Path) -> None:
    file, version, runs, logs = (tmp_path / name for name in ("net.py", "models/digits/1", "runs", "logs"))
    where = ["--repository", str(tmp_path / "models"), "--data", str(small_data)]
    train = ["train", *where, "--network", f"{file}:build", "--epochs", "1", "--optimizer", "adam"]
    train += ["--runs", str(runs), "--tensorboard", str(logs)]
    file.write_text(NETWORK)
    assert cli.run([*train, "--min-accuracy", "1"]) == 3
    file.write_text(NETWORK + "# another file\n")
    command = [str(Path(sys.executable).with_name("digits-train")), *train, "--min-accuracy", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "resuming" not in ended.stdout
    assert ended.stderr == ""  # and not what TensorFlow's libraries have to say
    assert not re.findall(r"^[IWE]\d{4} |^(?:INFO|WARNING|ERROR)\b", ended.stdout, re.MULTILINE)

    recorded = manifest.read(version).training
    hyperparameters = dict(recorded.hyperparameters)
    assert recorded.network == hyperparameters["network"] == "net.py:build"
    assert hyperparameters["network_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert not {"hidden_sizes", "activation", "dropout"} & hyperparameters.keys()
    assert str(tmp_path) not in (version / "manifest.json").read_text()
    layers = {type(layer).__name__ for layer in built.layers_of(loading._load_copy(version / "model.keras", "it"))}
    assert "BatchNormalization" in layers
    assert not (NOTHING_AT_INFERENCE | {"Resizing"}) & layers

    first, second = sorted(runs.iterdir())
    assert first.name.endswith("-net.py-build")
    checksums = [json.loads((run / "run.json").read_text())["settings"]["network_sha256"] for run in (first, second)]
    assert checksums[0] != checksums[1] == hyperparameters["network_sha256"]
    assert [path.name for path in sorted(logs.iterdir())] == [first.name, second.name]

    verify = [str(Path(sys.executable).with_name("digits-server")), "models", "verify", *where[:2]]
    ended = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "version 1: good\n"


def test_a_sweep_takes_networks_of_ones_own() -> None:
    found = combinations(["network=a.py:build,b.py:build,cnn", "epochs=1,2"])
    assert [each["--network"] for each in found[::2]] == ["a.py:build", "b.py:build", "cnn"]
    assert runs_at_once(found[:4], "mlp", cores=2) == 2
