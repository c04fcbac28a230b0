"""`digits-server models` says of each version what a server would, and takes its flags wherever they stand."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.models.repositories import copy_version
from support.servers.models_command import listed, models, spoil, stated
from support.servers.process import SCRIPTS

from digits_server.__main__ import main


def test_list_and_verify_judge_each_version_as_a_server_does(root: Path) -> None:
    spoil(root / "digits/2")
    models(root, "pin", "1")
    code, said = models(root, "list")
    head, *rows = said.splitlines()
    assert code == 0
    assert head.split("  ")[0] == "VERSION"
    assert [row.split()[:3] for row in rows] == [["1", "good", "mlp"], ["2", "rejected", "mlp"], ["3", "good", "mlp"]]
    assert rows[0].endswith("current, pinned")
    reason = rows[1][rows[1].index("model.tflite") :]
    assert reason.startswith("model.tflite has 6 bytes")
    assert models(root, "verify") == (1, f"version 1: good\nversion 2: {reason}\nversion 3: good\n")
    assert models(root, "verify", "3") == (0, "version 3: good\n")
    assert models(root, "verify", "9") == (1, "version 9: there is no such version\n")


def test_list_shows_network_accuracy_date_size_state_and_role(root: Path) -> None:
    manifest = json.loads(root.joinpath("digits/1/manifest.json").read_text())
    models(root, "pin", "1")
    models(root, "canary", "2", "--share", "5%")
    models(root, "shadow", "3")
    listing = listed(root)
    assert listing["versions"][0] == {
        "version": 1,
        "state": "good",
        "reason": "",
        "network": "mlp",
        "test_accuracy": manifest["metrics"]["testAccuracy"],
        "published_at": manifest["createdAt"],
        "size_bytes": sum(int(file["sizeBytes"]) for file in manifest["files"]),
        "roles": ["current", "pinned"],
    }
    assert [row["roles"] for row in listing["versions"]] == [["current", "pinned"], ["canary"], ["shadow"]]
    assert {name: listing[name] for name in ("current", "pinned", "canary", "shadow", "notes")} == {
        "current": 1,
        "pinned": 1,
        "canary": {"version": 2, "share": 0.05},
        "shadow": 3,
        "notes": [],
    }
    _, said = models(root, "list")
    accuracy = f"{manifest['metrics']['testAccuracy']:.4f}"
    assert accuracy in said
    assert manifest["createdAt"][:10] in said
    assert "canary 5%" in said
    assert " kB " in said


def test_a_missing_repository_is_reported_in_one_line(tmp_path: Path) -> None:
    for command in (
        *(["list"], ["verify"], ["pin", "1"], ["unpin"], ["rollback"], ["canary", "--end"], ["shadow", "1"]),
        ["prune", "--keep", "1"],
    ):
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


@pytest.mark.parametrize(
    "command",
    [["canary"], ["canary", "3"], ["canary", "--end", "--share", "5%"], ["canary", "3", "--share", "5"], ["shadow"]],
)
def test_a_command_that_says_too_little_or_too_much_is_a_wrong_usage(repository: Path, command: list[str]) -> None:
    assert models(repository, *command)[0] == 2


def test_list_shows_settings_that_cannot_be_followed(root: Path) -> None:
    root.joinpath("digits/pin.json").write_text('{"version": 7, "canaryVersion": 8, "canaryShare": 0.5}')
    listing = listed(root, "--shadow", "9")
    assert {row["version"]: row["state"] for row in listing["versions"]} == {
        **dict.fromkeys((1, 2, 3), "good"),
        **dict.fromkeys((7, 8, 9), "missing"),
    }
    assert listing["current"] == 3
    assert listing["notes"] == [
        "version 7 is pinned but is not in the repository: version 3 answers; pin another version, or unpin",
        "version 8 is the canary but is not in the repository: it answers no request",
        "version 9 is the shadow but is not in the repository: nothing is compared",
    ]


def run(*arguments: str | Path, **environment: str) -> Result:
    """Any command line of `digits-server`, in this process."""
    return CliRunner().invoke(main, [str(word) for word in arguments], env=environment, catch_exceptions=False)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["before models", "after models", "after the command"])
def test_a_flag_applies_at_any_position(root: Path, place: int) -> None:
    words: list[str | Path] = ["models", "rollback"]
    words[place:place] = ["--repository", root, "--shadow", "3"]
    ended = run(*words, DIGITS_REPOSITORY="/nowhere")
    assert (ended.exit_code, ended.stdout) == (0, "version 1 is pinned; it was 2\n")
    assert stated(root) == {"version": "1"}


@pytest.mark.parametrize("command", [["list"], ["verify"], ["pin", "1"], ["unpin"], ["prune", "--keep", "1"]])
def test_the_repository_before_the_command_is_the_one_it_works_on(
    repository: Path, tmp_path: Path, command: list[str]
) -> None:
    copy_version(repository, tmp_path, 1)
    assert run("--repository", tmp_path, "models", *command, DIGITS_REPOSITORY="/nowhere").exit_code == 0
    ended = run("--repository", "/nowhere", "models", *command, DIGITS_REPOSITORY=str(tmp_path))
    assert ended.exit_code == 1
    assert "no model repository at /nowhere" in ended.stderr


@pytest.mark.parametrize("flag", [["--grpc-port", "1"], ["--model", "a.keras"], ["--print-config"], ["--no-page"]])
def test_a_flag_that_means_nothing_to_models_is_refused(repository: Path, flag: list[str]) -> None:
    ended = run(*flag, "--repository", repository, "models", "list")
    assert ended.exit_code == 2
    assert f"{flag[0].replace('--no-', '--')}: not for `models`" in ended.stderr


def test_the_limit_of_bytes_is_the_one_given(repository: Path) -> None:
    for place in (0, 3):
        words: list[str | Path] = ["models", "verify", "1", "--repository", repository]
        words[place:place] = ["--max-model-bytes", "1000"]
        ended = run(*words)
        assert ended.exit_code == 1
        assert "at most 1000 (max_model_bytes)" in ended.stdout
