"""`digits-server models` says of each version what a server would, and changes the pin whole or not at all."""

import json
import subprocess
from pathlib import Path

from support.models_command import models, spoil
from support.servers import SCRIPTS
from support.variants import publish


def test_list_and_verify_say_of_each_version_what_a_server_would(repository: Path, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    spoil(tmp_path / "digits/2")
    models(tmp_path, "pin", "1")
    reason = next(line.split("\t")[2] for line in models(tmp_path, "list")[1].splitlines() if line.startswith("2"))
    assert reason.startswith("model.tflite has 6 bytes")
    assert models(tmp_path, "list") == (0, f"1\tgood\tpinned\n2\trejected\t{reason}\n3\tgood\n")
    assert models(tmp_path, "verify") == (1, f"version 1: good\nversion 2: {reason}\nversion 3: good\n")
    assert models(tmp_path, "verify", "3") == (0, "version 3: good\n")
    assert models(tmp_path, "verify", "9") == (1, "version 9: there is no such version\n")


def test_a_bad_version_is_not_pinned_and_a_rollback_passes_over_it(repository: Path, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    spoil(tmp_path / "digits/2")
    code, said = models(tmp_path, "pin", "2")
    assert code == 1
    assert said.startswith("Error: version 2 is not pinned: model.tflite has 6 bytes")
    assert not tmp_path.joinpath("digits/pin.json").exists()
    assert models(tmp_path, "rollback") == (0, "version 1 is pinned; it was 3\n")
    assert models(tmp_path, "rollback") == (1, "Error: there is no good version before 1\n")
    assert json.loads(tmp_path.joinpath("digits/pin.json").read_text())["version"] == "1"


def test_the_pin_is_replaced_whole_and_leaves_no_litter(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 1)
    models(tmp_path, "pin", "1")
    assert sorted(path.name for path in tmp_path.joinpath("digits").iterdir()) == ["1", "pin.json"]
    assert tmp_path.joinpath("digits/pin.json").stat().st_mode & 0o777 == 0o644


def test_a_repository_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    for command in (["list"], ["verify"], ["pin", "1"], ["unpin"], ["rollback"]):
        code, said = models(tmp_path / "nowhere", *command)
        assert code == 1
        assert said.startswith("Error: no model repository")


def test_the_commands_need_no_tensorflow(repository: Path) -> None:
    probe = (
        "import sys; from digits_server.__main__ import main\n"
        f"try: main(['models', 'verify', '--repository', {str(repository)!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([SCRIPTS / "python", "-c", probe], check=True, capture_output=True, timeout=60)
