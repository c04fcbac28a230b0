"""The picture at the top of the README shows the real page, and a command makes it again."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from support.needs import need

ROOT = Path(__file__).parents[2]
MOST_BYTES = 150_000
SECONDS = 120


def test_the_readme_opens_with_the_picture_that_the_command_takes(repository: Path, tmp_path: Path) -> None:
    need("chromium")
    taken = tmp_path / "page.png"
    command: list[str | Path] = [sys.executable, ROOT / "docs/site/picture.py", repository, taken]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env={"PYTHONPATH": str(ROOT / "tests")}
    )
    assert done.returncode == 0, done.stderr
    first = re.search(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert first
    assert first[1] == "docs/page.png"
    for picture in (taken, ROOT / first[1]):
        assert picture.stat().st_size < MOST_BYTES
    with Image.open(taken) as now, Image.open(ROOT / first[1]) as shown:
        assert now.size == shown.size
