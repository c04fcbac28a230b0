"""`digits-server models`: what stands in the repository, and which version must answer. No server is asked.

0 done; 1 it cannot be done, with the reason in one line; 2 a value that cannot be used.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from digits_server.errors import ModelRejected, OperatorError
from digits_server.flags import variable
from digits_server.models.pins import PinFile
from digits_server.settings import MODEL_NAME, Settings, setting_of

LARGEST_BATCH = 1
"""Images a version is tried with here; a server tries all sizes."""


class Versions:
    """The versions of one repository, each verified when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        from digits_server.models.published import PublishedVersions  # here, so that --help needs no NumPy

        self._source = PublishedVersions(settings)
        self.pin = PinFile(settings.repository / MODEL_NAME)
        self.all = self._source.versions()

    def reason(self, version: int) -> str:
        """Why a server would reject `version`; empty if it would not."""
        from digits_server.models.verification import prove

        if version not in self.all and version not in self._source.versions(also=(version,)):
            return "there is no such version"
        try:
            prove(self._source, version, LARGEST_BATCH)
        except ModelRejected as rejection:
            return rejection.message
        return ""

    def best(self, below: int | None = None) -> int:
        """The highest good version, or the highest below one. Raises OperatorError."""
        for version in reversed(self.all):
            if (below is None or version < below) and not self.reason(version):
                return version
        raise OperatorError(f"there is no good version{f' before {below}' if below else ''}")


def on_versions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the versions of the repository it is told, and its errors one line."""

    @wraps(command)
    def run(repository: Path, require_signature: Path | None, **arguments: Any) -> None:
        try:
            command(Versions(Settings(repository=repository, require_signature=require_signature)), **arguments)
        except OperatorError as error:
            raise click.ClickException(error.message) from error
        except OSError as error:
            raise click.ClickException(f"cannot write the pin: {error.strerror}") from error

    for name in ("require_signature", "repository"):
        item = setting_of(name)
        run = click.option(
            f"--{name.replace('_', '-')}",
            type=item.metadata["kind"],
            default=item.default,
            envvar=variable(name),
            help=item.metadata["help"],
        )(run)
    return run


@click.group("models")
def models() -> None:
    """List, verify and pin the versions of a model repository."""


@models.command("list")
@on_versions
def list_versions(versions: Versions) -> None:
    """List every version: good or not, pinned or not."""
    pinned = versions.pin.read()
    for version in versions.all:
        reason = versions.reason(version)
        words = [
            "rejected" if reason else "good",
            *(["pinned"] if version == pinned else []),
            *([reason] if reason else []),
        ]
        click.echo("\t".join((str(version), *words)))
    if pinned and pinned not in versions.all:
        click.echo(f"{pinned}\tmissing\tpinned")


@models.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@on_versions
def verify(versions: Versions, version: int | None) -> None:
    """Check a version as a server would, or every one; exit with 1 if any is rejected."""
    chosen = versions.all if version is None else [version]
    failed = False
    for each in chosen:
        reason = versions.reason(each)
        failed |= bool(reason)
        click.echo(f"version {each}: {reason or 'good'}")
    if failed or not chosen:
        raise SystemExit(1)


@models.command()
@click.argument("version", type=click.IntRange(min=1))
@on_versions
def pin(versions: Versions, version: int) -> None:
    """Have VERSION answer, whatever else is published, once it is verified."""
    if reason := versions.reason(version):
        raise OperatorError(f"version {version} is not pinned: {reason}")
    versions.pin.write(version)
    click.echo(f"version {version} is pinned")


@models.command()
@on_versions
def unpin(versions: Versions) -> None:
    """Let the highest good version answer again."""
    versions.pin.remove()
    click.echo("no version is pinned")


@models.command()
@on_versions
def rollback(versions: Versions) -> None:
    """Pin the good version before the one that answers: the pinned one, or the highest good one."""
    current = versions.pin.read() or versions.best()
    before = versions.best(below=current)
    versions.pin.write(before)
    click.echo(f"version {before} is pinned; it was {current}")
