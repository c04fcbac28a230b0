"""`digits-server models` changes pin.json and removes versions whole or not at all."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.models.variants import publish
from support.servers.models_command import models, models_process, spoil, stated


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


def test_a_canary_starts_changes_and_ends_and_the_other_version_stays(root: Path) -> None:
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


def test_two_commands_at_once_lose_no_change(root: Path) -> None:
    models(root, "pin", "1")
    commands = [["canary", "2", "--share", "5%"], ["shadow", "3"]]
    with ThreadPoolExecutor(len(commands)) as pool:
        assert {code for code, _ in pool.map(lambda command: models_process(root, *command), commands)} == {0}
    assert stated(root) == {"version": "1", "canaryVersion": "2", "canaryShare": 0.05, "shadowVersion": "3"}


def test_a_broken_pin_file_is_reported_with_the_versions_and_is_not_overwritten(root: Path) -> None:
    root.joinpath("digits/pin.json").write_text("{")
    code, said = models(root, "list")
    assert code == 1
    assert [line.split()[0] for line in said.splitlines()] == ["VERSION", "1", "2", "3", "note:"]
    assert "note: pin.json is not valid: expected digits.v1.Pin as JSON" in said
    assert models(root, "rollback")[0] == 1
    assert root.joinpath("digits/pin.json").read_text() == "{"


def test_prune_keeps_the_newest_good_versions_and_those_in_use(repository: Path, tmp_path: Path) -> None:
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
