"""The versions of a model repository."""

from pathlib import Path


def newest(repository: Path) -> Path:
    """The folder of the repository's highest version."""
    return max((repository / "digits").iterdir(), key=lambda folder: int(folder.name))
