"""`digits-server models` says of each version what a server would, and changes pin.json whole or not at all."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.models_command import models, spoil
from support.repositories import copy_version
from support.servers import SCRIPTS
from support.variants import publish


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository of the versions 1 to 3."""
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    return tmp_path


def stated(root: Path) -> dict[str, Any]:
    """What pin.json says, but for the time."""
    pin = json.loads(root.joinpath("digits/pin.json").read_text())
    return {name: value for name, value in pin.items() if name != "pinnedAt"}


def listed(root: Path, *flags: str) -> dict[str, Any]:
    code, said = models(root, "list", "--json", *flags)
    assert code == 0
    return dict(json.loads(said))


def test_list_and_verify_say_of_each_version_what_a_server_would(root: Path) -> None:
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


def test_a_bad_version_is_not_pinned_and_a_rollback_passes_over_it(root: Path) -> None:
    spoil(root / "digits/2")
    code, said = models(root, "pin", "2")
    assert code == 1
    assert said.startswith("Error: version 2 is not pinned: model.tflite has 6 bytes")
    assert not root.joinpath("digits/pin.json").exists()
    assert models(root, "rollback") == (0, "version 1 is pinned; it was 3\n")
    assert models(root, "rollback") == (1, "Error: there is no good version before 1\n")
    assert stated(root) == {"version": "1"}


def test_the_pin_is_replaced_whole_and_leaves_no_litter(repository: Path, tmp_path: Path) -> None:
    publish(repository, tmp_path, 1)
    tmp_path.joinpath("digits/.pin-of-a-killed-command").write_text("")
    models(tmp_path, "pin", "1")
    assert sorted(path.name for path in tmp_path.joinpath("digits").iterdir()) == ["1", "pin.json"]
    assert tmp_path.joinpath("digits/pin.json").stat().st_mode & 0o777 == 0o644


def test_a_pin_alone_is_written_as_older_servers_read_it(root: Path) -> None:
    for command in (["pin", "2"], ["rollback"]):
        models(root, *command)
        assert json.loads(root.joinpath("digits/pin.json").read_text()).keys() == {"version", "pinnedAt"}


def test_a_repository_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
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


def test_a_dry_run_says_the_same_and_changes_nothing(root: Path) -> None:
    models(root, "shadow", "1")
    before = root.joinpath("digits/pin.json").read_bytes()
    for command in (["rollback"], ["canary", "3", "--share", "0.1"], ["prune", "--keep", "1"]):
        code, said = models(root, *command, "--dry-run")
        assert code == 0
        head, *sentences = said.splitlines()
        assert head == "dry run, nothing is changed:"
        assert root.joinpath("digits/pin.json").read_bytes() == before
        assert sorted(path.name for path in root.joinpath("digits").iterdir()) == ["1", "2", "3", "pin.json"]
        assert models(root, *command)[1].splitlines() == sentences
        root.joinpath("digits/pin.json").write_bytes(before)


def test_a_canary_starts_changes_and_ends_and_who_answers_the_others_stays(root: Path) -> None:
    code, said = models(root, "canary", "3", "--share", "0.1")
    assert (code, said) == (
        0,
        (
            "version 3 is the canary: it answers 0.1 of the requests that name no version\n"
            "version 2 answers the others, instead of 3\n"
        ),
    )
    assert stated(root) == {"canaryVersion": "3", "canaryShare": 0.1}
    assert models(root, "canary", "3", "--share", "50%")[1].splitlines()[1] == "version 2 answers the others"
    assert stated(root) == {"canaryVersion": "3", "canaryShare": 0.5}
    code, said = models(root, "canary", "--end")
    assert code == 0
    assert said.splitlines() == [
        "version 3 is no longer the canary",
        "version 2 is pinned, so that it goes on answering; to let version 3 answer, pin it",
    ]
    assert stated(root) == {"version": "2", "canaryVersion": "0"}
    assert models(root, "canary", "--end")[0] == 1


@pytest.mark.parametrize(
    "command",
    [["canary"], ["canary", "3"], ["canary", "--end", "--share", "5%"], ["canary", "3", "--share", "5"], ["shadow"]],
)
def test_a_command_that_says_too_little_or_too_much_is_a_wrong_usage(repository: Path, command: list[str]) -> None:
    assert models(repository, *command)[0] == 2


def test_two_commands_at_once_lose_no_change(root: Path) -> None:
    models(root, "pin", "1")
    commands = [["canary", "2", "--share", "5%"], ["shadow", "3"]]
    with ThreadPoolExecutor(len(commands)) as pool:
        assert {code for code, _ in pool.map(lambda command: models(root, *command), commands)} == {0}
    assert stated(root) == {"version": "1", "canaryVersion": "2", "canaryShare": 0.05, "shadowVersion": "3"}


def test_a_broken_pin_file_is_said_beside_the_versions_and_is_not_overwritten(root: Path) -> None:
    root.joinpath("digits/pin.json").write_text("{")
    code, said = models(root, "list")
    assert code == 1
    assert [line.split()[0] for line in said.splitlines()] == ["VERSION", "1", "2", "3", "note:"]
    assert "note: pin.json is not valid: expected digits.v1.Pin as JSON" in said
    assert models(root, "rollback")[0] == 1
    assert root.joinpath("digits/pin.json").read_text() == "{"


def test_list_says_what_cannot_be_followed(root: Path) -> None:
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


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "digits-server", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("place", [0, 1, 2], ids=["before models", "after models", "after the command"])
def test_a_flag_holds_wherever_it_stands(root: Path, place: int) -> None:
    words: list[str | Path] = ["models", "rollback"]
    words[place:place] = ["--repository", root, "--shadow", "3"]
    ended = run(*words, DIGITS_REPOSITORY="/nowhere")
    assert (ended.returncode, ended.stdout) == (0, "version 1 is pinned; it was 2\n")
    assert stated(root) == {"version": "1"}


@pytest.mark.parametrize("command", [["list"], ["verify"], ["pin", "1"], ["unpin"], ["prune", "--keep", "1"]])
def test_the_repository_before_the_command_is_the_one_it_works_on(
    repository: Path, tmp_path: Path, command: list[str]
) -> None:
    copy_version(repository, tmp_path, 1)
    assert run("--repository", tmp_path, "models", *command, DIGITS_REPOSITORY="/nowhere").returncode == 0
    ended = run("--repository", "/nowhere", "models", *command, DIGITS_REPOSITORY=str(tmp_path))
    assert ended.returncode == 1
    assert "no model repository at /nowhere" in ended.stderr


@pytest.mark.parametrize("flag", [["--grpc-port", "1"], ["--model", "a.keras"], ["--print-config"], ["--no-page"]])
def test_a_flag_that_means_nothing_to_models_is_refused(repository: Path, flag: list[str]) -> None:
    ended = run(*flag, "--repository", repository, "models", "list")
    assert ended.returncode == 2
    assert f"{flag[0].replace('--no-', '--')}: not for `models`" in ended.stderr


def test_the_limit_of_bytes_is_the_one_given(repository: Path) -> None:
    for place in (0, 3):
        words: list[str | Path] = ["models", "verify", "1", "--repository", repository]
        words[place:place] = ["--max-model-bytes", "1000"]
        ended = run(*words)
        assert ended.returncode == 1
        assert "at most 1000 (max_model_bytes)" in ended.stdout


def test_prune_keeps_the_newest_good_versions_and_what_is_in_use(repository: Path, tmp_path: Path) -> None:
    for version in range(1, 9):
        publish(repository, tmp_path, version)
    folder = tmp_path / "digits"
    spoil(folder / "8")  # perhaps it is still being copied
    spoil(folder / "6")
    models(tmp_path, "pin", "1")
    models(tmp_path, "canary", "2", "--share", "5%")
    models(tmp_path, "shadow", "3")
    code, said = models(tmp_path, "prune", "--keep", "2")
    assert (code, said) == (0, "version 4 is removed\n")
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "3", "5", "6", "7", "8", "pin.json"]
    models(tmp_path, "canary", "--end")
    assert models(tmp_path, "prune", "--keep", "1")[1] == (
        "version 2 is removed\nversion 5 is removed\nversion 6 is removed\n"
    )
    assert models(tmp_path, "prune", "--keep", "1") == (0, "no version is removed\n")


def test_prune_removes_nothing_when_no_version_is_good(root: Path) -> None:
    for version in (1, 2, 3):
        spoil(root / f"digits/{version}")
    code, said = models(root, "prune", "--keep", "1")
    assert code == 1
    assert "no version is good" in said
    assert len(list(root.joinpath("digits").iterdir())) == 3
