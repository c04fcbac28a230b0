"""The model that is installed as a package, `digits-model`.

It is served if no repository is named and the default does not exist.
"""

import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from digits_server.errors import NO_REPOSITORY
from digits_server.settings import Settings

PACKAGE = "digits-model"
FOLDER = "digits_model/models"
"""The model repository in the package. It is found by the package's metadata: no code of the package runs."""


def with_installed_model(settings: Settings, *, repository_named: bool) -> tuple[Settings, str]:
    """The settings with the installed package as their repository, and which package it is.

    The settings stay unchanged, with an empty text for the package, in three cases: a repository or a file is named;
    the default repository exists, even as a broken link; the package is not installed.
    """
    if repository_named or settings.model or os.path.lexists(settings.repository):
        return settings, ""
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:
        return settings, ""
    return replace(settings, repository=Path(str(installed.locate_file(FOLDER)))), f"{PACKAGE} {installed.version}"


def explained(message: str, settings: Settings) -> str:
    """The message of an error at the start. If the default repository is missing, it also says what to do."""
    if not message.startswith(NO_REPOSITORY) or os.path.lexists(settings.repository):
        return message
    return f"{message}; name one with --repository, or install the package {PACKAGE}, which is then served"
