"""A published model of Digits, as a package: the server serves it if no repository is named."""

from pathlib import Path

REPOSITORY = Path(__file__).parent / "models"
"""The model repository with this one version."""
