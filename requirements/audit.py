"""Asks the package index for known vulnerabilities in what is locked, by pip-audit.

    python requirements/audit.py [--strict]

Exit code 1 when there are some. A mirror that has nothing but packages can tell of none: that is said, and with
--strict is a failure too.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PIP_AUDIT = "pip-audit==2.10.1"
LOCKED = ("uv.txt", "dev.txt", "server.txt", "training.txt")
TIME_LIMIT = 120.0  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="fail unless every package could be asked for")
    strict = parser.parse_args().strict
    try:
        packages = asked()
    except (json.JSONDecodeError, subprocess.TimeoutExpired):
        print("audit: no package could be asked for: pip-audit does not reach the index")
        return int(strict)
    lines, clean = findings(packages, strict=strict)
    print("\n".join(f"audit: {line}" for line in lines))
    return int(not clean)


def asked() -> list[dict[str, Any]]:
    """What pip-audit found out about each package. Raises JSONDecodeError or TimeoutExpired where it reaches nobody."""
    files = [f"--requirement={Path(__file__).parent / name}" for name in LOCKED]
    command = [
        str(Path(sys.executable).parent / "uv"),
        "tool",
        "run",
        PIP_AUDIT,
        "--disable-pip",
        "--format=json",
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return packages


def findings(packages: list[dict[str, Any]], *, strict: bool) -> tuple[list[str], bool]:
    """Lines to print, and whether all is well."""
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    vulnerable = [
        f"{one['name']} {one['version']}: {each['id']}, fixed in {', '.join(each['fix_versions']) or 'none yet'}"
        for one in packages
        for each in one.get("vulns", [])
    ]
    lines = [*vulnerable, f"{len(vulnerable)} known vulnerabilities in {len(packages) - len(unknown)} packages"]
    if unknown:
        lines.append(f"the index has no advisories on {len(unknown)} more")
    return lines, not vulnerable and not (strict and unknown)


if __name__ == "__main__":
    sys.exit(main())
