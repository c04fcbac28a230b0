"""docs/testing-your-code.md is true: its tests run unchanged, and say what to install if something is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.models.model_wheel import installed_model
from support.programs.wheels import ROOT, SECONDS

from digits_client.testing import CannotStart, LocalServer

PAGE = (ROOT / "docs/testing-your-code.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """The folder of a reader who has typed every file of the page."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "models").mkdir()  # not those of Digits
    return tmp_path


def run_pytest(folder: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": path, "PYTEST_ADDOPTS": "", "DIGITS_TARGET": "nobody.invalid:1", "DIGITS_GRPC_PORT": "1"}
    environment = {**os.environ, **own}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        ".",
    ]
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=folder,
        env=environment,
    )


def test_the_tests_of_the_page_pass(reader: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    installed = installed_model(repository / "digits/1", tmp_path_factory.mktemp("model"))
    done = run_pytest(reader, "-W", "error", path=f"{installed}{os.pathsep}{reader}")
    assert len(FILES) == 6
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_without_the_wheels_only_the_tests_of_the_real_server_fail_and_say_what_to_install(reader: Path) -> None:
    done = run_pytest(reader, path=str(reader))
    assert "3 passed, 1 failed, 1 error" in done.stdout or "1 failed, 3 passed, 1 error" in done.stdout, done.stdout
    assert "the fixture digits_server: digits-model must be installed together with digits-client" in done.stdout
    assert "CannotStart: digits-model must be installed" in done.stdout


def test_a_local_server_that_cannot_start_says_why(repository: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(CannotStart, match=r"ended before it answered: .*no model repository"),
        LocalServer("--repository", str(tmp_path / "nowhere")),
    ):
        pass
    with pytest.raises(CannotStart, match="No such option '--queue'"), LocalServer("--model=x.keras", "--queue", "1"):
        pass
    with LocalServer("--repository", str(repository)) as server:
        assert server.http.startswith("http://127.0.0.1:")


def test_pytest_is_imported_only_where_it_runs() -> None:
    code = "import sys, digits_client.testing as t; print('pytest' in sys.modules, hasattr(t, 'digits_server'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert done.stdout.split() == ["False", "False"]
