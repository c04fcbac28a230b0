"""The wheel of a published version, built and installed as the pages say."""

import subprocess
import sys
from pathlib import Path

from support.programs.wheels import ROOT, SECONDS, install

BUILD = ROOT / "deploy/model_wheel/build.py"


def build_model(version: Path, dist: Path, *flags: str | Path) -> subprocess.CompletedProcess[str]:
    """Builds the wheel of a version's folder into `dist`."""
    command: list[str | Path] = [sys.executable, BUILD, version, dist, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def installed_model(version: Path, folder: Path, *flags: str | Path) -> Path:
    """A folder for PYTHONPATH that has the installed wheel of a version."""
    done = build_model(version, folder / "dist", *flags)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("dist/digits_model-*.whl")
    install(Path(sys.executable), "--no-deps", "--target", folder / "installed", wheel)
    return folder / "installed"
