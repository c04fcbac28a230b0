"""The model that is installed as a package, `digits-model`: what is served where nobody named or made a repository."""

from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from digits_server.errors import NO_REPOSITORY
from digits_server.settings import Settings

PACKAGE = "digits-model"
_MODULE = "digits_model"


def with_installed_model(settings: Settings, *, repository_named: bool) -> tuple[Settings, str]:
    """The settings with the installed package as their repository, and which package it is.

    The settings stay, with an empty text, if somebody named a repository or a file, if the default repository
    exists, or if the package is not installed.
    """
    if repository_named or settings.model or settings.repository.exists() or find_spec(_MODULE) is None:
        return settings, ""
    repository = Path(import_module(_MODULE).REPOSITORY)
    return replace(settings, repository=repository), f"{PACKAGE} {_version()}"


def explained(message: str, settings: Settings) -> str:
    """Why the server cannot start, with what to do if it is because nobody named a repository and there is none."""
    if not message.startswith(NO_REPOSITORY) or settings.repository.exists():
        return message
    return f"{message}; name one with --repository, or install the package {PACKAGE}, which is then served"


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # a folder on the path, not installed
        return "of unknown version"
