"""Copies of a published version, with changes for a test."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def copy_version(source: Path, target: Path, version: int) -> Path:
    """Publishes a good copy of `source`'s version 1 as `version` of `target`; returns its folder."""
    folder = target / "digits" / str(version)
    shutil.copytree(source / "digits" / "1", folder)
    edit_manifest(folder, lambda manifest: manifest.update(modelVersion=str(version)))
    return folder


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Applies `change` to the manifest as parsed JSON."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Writes `content` as the file `name`, and puts its hash into the manifest."""

    def vouch(manifest: dict[str, Any]) -> None:
        entry = next(item for item in manifest["files"] if item["path"] == name)
        entry.update(sha256=hashlib.sha256(content).hexdigest(), sizeBytes=str(len(content)))

    folder.joinpath(name).write_bytes(content)
    edit_manifest(folder, vouch)
