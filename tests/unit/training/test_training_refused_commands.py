"""Commands that need no network: what they refuse, and what they leave alone."""

import errno
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from digits_training import cli
from digits_training.errors import NetworkError, SettingsError
from digits_training.own_network import source
from digits_training.repository import publish, signing
from digits_training.runs import compare, sweep
from digits_training.settings import Settings

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def test_a_published_version_is_not_trained_again_if_asked_so(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "digits/3").mkdir(parents=True)
    assert cli.run(["train", "--unless-published", "--repository", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"version 3 is published in {tmp_path / 'digits'}: not training again\n"


def test_signing_without_a_key_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["sign", "1", "--repository", str(tmp_path)]) == 2
    assert "--sign-key is missing: name the private key." in capsys.readouterr().err


def test_the_package_is_the_command(monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr("signal.signal", lambda _number, _handler: None)
    monkeypatch.setattr(sys, "argv", ["digits_training", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("digits_training", run_name="__main__")
    assert ended.value.code == 0
    assert "Usage: digits-train" in capsys.readouterr().out


def test_signing_without_the_package_names_the_extra(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(SettingsError, match="install digits-training with its extra 'signing'"):
        signing.sign(tmp_path, tmp_path / "key.pem")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SettingsError, match=r"key\.pem is not an Ed25519 key"):
        signing.sign(tmp_path, tmp_path / "key.pem")


def test_a_version_that_cannot_be_renamed_is_an_error(tmp_path: Path, monkeypatch: Patch) -> None:
    def full(_self: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    with publish.staging(tmp_path) as incoming, pytest.raises(OSError, match="No space left"):
        publish.publish(incoming, lambda _folder, _version: None)
    assert list(tmp_path.iterdir()) == []


def _run(runs: Path, name: str, facts: str = '{"outcome": "published", "version": 1, "settings": {"seed": 1}}') -> None:
    (runs / name).mkdir()
    (runs / name / "run.json").write_text(facts)


def test_no_runs_are_said_to_be_none(tmp_path: Path) -> None:
    said: list[str] = []
    compare.list_runs(tmp_path, said.append)
    assert said == [f"no runs in {tmp_path}: --runs names another folder"]


def test_runs_with_the_same_settings_are_said_to_have_them(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("2026-a", "2027-b"):
        _run(tmp_path, name)
    compare.compare(tmp_path, ("2026", "2027-b"), tmp_path / "compare.png", said.append)
    assert [line.split()[0] for line in said[1:3]] == ["2026-a", "2027-b"]
    assert said[-1] == "the runs have the same settings"


@pytest.mark.parametrize("name", ["2026", "2028"])
def test_a_name_of_two_runs_or_of_none_is_refused(name: str, tmp_path: Path) -> None:
    for run in ("2026-a", "2026-b"):
        _run(tmp_path, run)
    with pytest.raises(SettingsError, match=f"(more than one|no) run in .* is called '{name}'"):
        compare.records(tmp_path, (name,))


def test_a_record_that_cannot_be_read_is_listed_as_such(tmp_path: Path) -> None:
    _run(tmp_path, "2026-a", facts="{")
    (record,) = compare.records(tmp_path)
    assert record.facts == {"outcome": "run.json cannot be read"}


def test_an_interrupted_sweep_ends_its_runs(tmp_path: Path, monkeypatch: Patch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*_arguments: object) -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return started[-1]

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "_start", start)
    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep([{"--seed": "1"}, {"--seed": "2"}], (), Settings(runs=tmp_path), lambda _line: None)
    assert started
    assert all(process.returncode for process in started)


def test_a_function_without_a_signature_can_be_the_network(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("build = dict")
    read = source.read(f"{tmp_path / 'net.py'}:build")
    assert read
    assert read.build() == {}


def test_a_file_of_more_than_a_mebibyte_is_not_a_network(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("#" * (2**20 + 1))
    with pytest.raises(NetworkError, match=r"net\.py is longer than 1,048,576 bytes"):
        source.read(f"{tmp_path / 'net.py'}:build")
