"""Requirements of some tests besides Python: programs of Debian's packages, and root's rights.

If a requirement is missing, the test does not run, and the end of the run says so in red; if CI is set, the test fails.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MUST_RUN = bool(os.environ.get("CI"))
"""Whether a test that cannot run is a failure."""


def need(*programs: str, target: str = "tools") -> None:
    """Ends the test unless all these programs are installed.

    target  of make, which installs them
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        _not_run(f"needs {', '.join(missing)} (`make {target}` installs it)")


def need_root() -> None:
    """Ends the test unless root runs it."""
    if os.geteuid() != 0:
        _not_run("needs root's rights")


def said_by(program: str, *arguments: str | Path) -> str:
    """The output of such a program. Fails unless its exit code is 0."""
    need(program)
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _not_run(reason: str) -> None:
    if MUST_RUN:
        pytest.fail(f"{reason}; CI runs every test", pytrace=False)
    pytest.skip(reason)
