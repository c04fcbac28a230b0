"""Writes the version of pyproject.toml wherever else it stands; with --check, only says where it differs.

    python requirements/version.py [--check]

Exit code 1 when it differs somewhere. Each package is built alone, and images and manifests name the version, too.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUMBER = r"[0-9][0-9a-z.]*"

PLACES: Mapping[str, str] = {
    "*/pyproject.toml": r'(?m)(?<=^version = ")' + NUMBER + r'(?=")|(?<="digits-proto==)' + NUMBER + r'(?=")',
    "*/Dockerfile": f"(?<=ARG VERSION=){NUMBER}",
    "deploy/**/*.yaml": rf"(?<=digits-server:){NUMBER}|(?<=digits-training:){NUMBER}|(?<=newTag: ){NUMBER}",
    "docs/deploying.md": rf"(?<=digits-server:){NUMBER}|(?<=digits-training:){NUMBER}",
}
"""Where it stands: files, and what the version is in their text."""


def current() -> str:
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["digits"]["version"]
    return version


def rewritten(version: str) -> dict[Path, str]:
    """The files whose text differs from what it is with `version`: path → that text."""
    found = {}
    for pattern, place in PLACES.items():
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            if (new := re.sub(place, version, text)) != text:
                found[path] = new
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the version of pyproject.toml wherever else it stands.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when it differs somewhere")
    only_check = parser.parse_args().check
    stale = rewritten(current())
    for path, text in stale.items():
        if only_check:
            print(
                f"{path.relative_to(ROOT)} has another version than pyproject.toml: run `make version`", file=sys.stderr
            )
        else:
            path.write_text(text, encoding="utf-8")
    return int(only_check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
