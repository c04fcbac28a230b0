"""CI as code: the forge's workflow and the hooks of a commit run only commands that the Makefile runs, too."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from requirements import version

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOW_FILE = ROOT / ".github/workflows/ci.yml"
WORKFLOW: dict[str, Any] = yaml.safe_load(WORKFLOW_FILE.read_text())
HOOKS: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
DEPENDABOT: dict[str, Any] = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())


def recipe(target: str) -> str:
    found = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, target
    return found[1]


def tool(command: str) -> str:
    """The program that a command runs: with its subcommand, or a script with its Python."""
    words = [word for word in command.split() if not word.startswith("-")]
    return " ".join(words[:2] if words[0] in {"ruff", "python", "buf"} else words[:1])


def commands() -> list[str]:
    """The commands of the workflow's steps."""
    return [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]


def caches(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in job["steps"] if "/cache@" in step.get("uses", "")]


def test_the_workflow_runs_targets_of_the_makefile_and_all_that_ci_runs() -> None:
    targets = {word for command in commands() for word in command.partition("make ")[2].split() if "=" not in word}
    assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    ci = set(re.findall(r"^make (\S+)", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    assert ci | {"test-compose", "test-packages", "demo"} <= targets


def test_the_workflow_tests_every_python_of_the_server_and_of_the_client() -> None:
    supported = tomllib.loads((ROOT / "server/pyproject.toml").read_text())["project"]["requires-python"]
    jobs = WORKFLOW["jobs"]
    assert supported == ">=3.11,<3.14"
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert jobs["test"]["container"]["image"] == "python:${{ matrix.python }}-bookworm"
    (setup,) = (step for step in jobs["packages"]["steps"] if "setup-python" in step.get("uses", ""))
    assert set(setup["with"]["python-version"].split()) == {"3.10", "3.11", "3.12", "3.13", "3.14"}


def test_the_commands_of_the_workflow_are_ones_that_make_can_carry_out() -> None:
    """Make builds nothing here: it finds each target's recipe and each file that a recipe needs."""
    assert commands()
    for command in commands():
        program, *arguments = command.split()
        assert program == "make", command
        planned = subprocess.run(
            [program, "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert planned.returncode == 0, planned.stderr


def test_a_cache_is_kept_apart_by_the_locks_and_no_job_waits_for_one_that_is_not_there() -> None:
    jobs = WORKFLOW["jobs"]
    assert any(map(caches, jobs.values()))
    for job in jobs.values():
        assert set(job.get("needs", [])) <= set(jobs)
        for step in caches(job):
            patterns = re.findall(r"hashFiles\('([^']*)'\)", step["with"]["key"])
            assert patterns == ["requirements/*.txt"]
            assert all([*ROOT.glob(pattern)] for pattern in patterns)
            assert "${{ github.job }}" in step["with"]["key"]
            assert ("matrix.python" in step["with"]["key"]) == ("strategy" in job)


def test_actions_are_named_by_their_commit_and_the_workflow_may_only_read() -> None:
    used = [line for line in WORKFLOW_FILE.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"      - uses: actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    checkouts = [
        step for job in WORKFLOW["jobs"].values() for step in job["steps"] if "checkout@" in step.get("uses", "")
    ]
    assert len(checkouts) == len(WORKFLOW["jobs"])
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_job_ends_by_itself() -> None:
    assert all(job["timeout-minutes"] <= 120 for job in WORKFLOW["jobs"].values())


def test_the_hooks_run_what_make_check_runs() -> None:
    programs = recipe("check").replace("$(BUF)", "$(BIN)/buf")
    checks = {tool(command) for command in re.findall(r"^\t\$\(BIN\)/(.*)$", programs, re.MULTILINE)}
    hooks = {
        tool(re.sub(r"^\.venv/(buf/node_modules/\.)?bin/", "", hook["entry"]))
        for repo in HOOKS["repos"]
        for hook in repo["hooks"]
    }
    assert hooks == checks


def test_new_versions_are_proposed_for_every_kind_of_dependency_where_it_is() -> None:
    files = {"pip": "*.txt", "docker": "*Dockerfile", "npm": "package.json", "docker-compose": "docker-compose.yml"}
    for update in DEPENDABOT["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            path = ROOT / folder.strip("/")
            pattern = files.get(update["package-ecosystem"], "*")
            assert [*path.glob(pattern), *path.glob("pyproject.toml")], folder


def test_the_version_is_the_same_everywhere() -> None:
    assert version.rewritten(version.current()) == {}
    assert len(version.rewritten("9.9.9")) >= 11
