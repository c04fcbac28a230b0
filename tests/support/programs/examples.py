"""Clients in other languages, built as docs/examples says."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from support.needs import need

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
SECONDS = 120
ADDED = ROOT / "tests/support/programs/go"
"""Functions that gRPC for Go has since 1.34 and 1.63, written for Debian's 1.33."""
GRPC_GO = "/usr/share/gocode/src/google.golang.org/grpc"
GO_MODULES = '(cd "$work" && go mod tidy && go build -o predict .)'
GO_OF_DEBIAN = (
    'gopath=$(mktemp -d) && mkdir "$gopath/src" && cp -r "$work" "$gopath/src/digits.example" && '
    'GO111MODULE=off GOPATH="$gopath:/usr/share/gocode" go build -overlay "$overlay" -o "$work/predict" digits.example'
)
TOOLS = {"Go": ("go", "protoc", "protoc-gen-go-grpc"), "Java": ("javac", "protoc", "grpc_java_plugin")}


def bash(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `script` from the root of the repository."""
    command = ["bash", "-c", script]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def built_as_documented(language: str, folder: Path, source: Path | None = None) -> tuple[str, dict[str, str]]:
    """The last command of the documentation for a language, and the environment that the commands before it left.

    source  a program to build instead of the documented one; Go only
    """
    need(*TOOLS[language])
    section = (EXAMPLES / "README.md").read_text().partition(f"## {language}\n")[2].partition("\n## ")[0]
    *building, call = [line.removeprefix("    ") for line in section.splitlines() if line.startswith("    ")]
    assert GO_MODULES in building or language != "Go"
    building = [line.replace(GO_MODULES, GO_OF_DEBIAN) for line in building]
    overlay = folder / "overlay.json"
    added = {str(path.relative_to(ADDED)): str(path) for path in ADDED.rglob("*.go")}
    overlay.write_text(json.dumps({"Replace": {f"{GRPC_GO}/{place}": path for place, path in added.items()}}))
    script = "\n".join(["set -aeu", f"overlay={overlay}", *building, "env --null"])
    if source is not None:
        script = script.replace("docs/examples/go/main.go", str(source))
    built = bash(script, {**os.environ, "TMPDIR": str(folder)})
    assert built.returncode == 0, built.stderr
    return call, dict(line.split("=", 1) for line in built.stdout.rstrip("\0").split("\0"))


def node_program(source: Path, folder: Path) -> Path:
    """A copy of `source` in `folder`, together with the packages that the Node example names."""
    need("node", "npm")
    shutil.copy(EXAMPLES / "node" / "package.json", folder)
    install = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=SECONDS)
    return Path(shutil.copy(source, folder))
