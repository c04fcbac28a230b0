"""The commands themselves: they parse, plan, write and report.

Exit codes: 0 done; 1 it cannot be done, with the reason in one line; 2 a value that cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from digits_server.errors import OperatorError
from digits_server.flags import is_given
from digits_server.models.installed import with_installed_model
from digits_server.settings import Settings, setting_of

if TYPE_CHECKING:  # no imports: --help needs neither NumPy nor protobuf
    from digits_server.models.command.plans import Plan
    from digits_server.models.command.versions import Versions
    from digits_server.models.rollout import StatedRollout

FLAGS = ("repository", "runtime", "max_model_bytes", "canary", "shadow", "require_signature")
"""The settings of a server that decide which versions are good, and which one answers. They may be given before
`models`, after it, and after the command; the last one wins."""


class Share(click.ParamType[float]):
    """A share of the requests: 0.1 or 10%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(
                f"{value!r} is not a share: expected a number above 0 and at most 1, or a percentage.", param, ctx
            )
        return share


def settings_for_models(context: click.Context, values: dict[str, Any]) -> Settings:
    """The settings given before `models`. Raises UsageError for flags that `models` does not take."""
    given = {item.name: item for item in context.command.params if _given(context, item)}
    if unknown := [item.opts[0] for name, item in given.items() if name not in FLAGS]:
        known = ", ".join(f"--{name.replace('_', '-')}" for name in FLAGS)
        raise click.UsageError(f"{', '.join(unknown)}: not for `{context.invoked_subcommand}`, which takes {known}")
    named = is_given(context, "repository")
    return with_installed_model(Settings(**{name: values[name] for name in FLAGS}), repository_named=named)[0]


def with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the flags of FLAGS. A flag after the command replaces the same flag before it."""

    @wraps(command)
    def run(**arguments: Any) -> Any:
        context = click.get_current_context()
        given = {name: value for name in FLAGS if (value := arguments.pop(name)) is not None}
        context.obj = replace(context.obj, **given)
        return command(**arguments)

    for name in reversed(FLAGS):
        item = setting_of(name)
        flag = f"--{name.replace('_', '-')}"
        run = click.option(flag, name, type=item.metadata["kind"], help=item.metadata["help"])(run)
    return run


def on_versions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the versions of the repository in its settings, and prints its errors as one line."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        from digits_server.models.command.versions import Versions  # imported here, so that --help needs no NumPy

        try:
            command(Versions(click.get_current_context().obj), **arguments)
        except OperatorError as error:
            raise click.ClickException(error.message) from error
        except OSError as error:
            raise click.ClickException(f"the repository cannot be changed: {error.strerror}") from error

    return with_flags(run)


def changing(plan: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a command from a function that plans a change of pin.json.

    The change is written and printed; with --dry-run, only printed.
    """

    @wraps(plan)
    def run(versions: Versions, *, dry_run: bool, **arguments: Any) -> None:
        def planned(stated: StatedRollout) -> Plan:
            decided: Plan = plan(versions, stated, **arguments)
            return decided

        decided = planned(versions.pins.read())  # verifies the versions it needs before the lock is held
        if dry_run:
            click.echo("dry run, nothing is changed:")
        else:
            with versions.pins.locked():
                decided = planned(versions.pins.read())
                versions.pins.write(decided.stated)
        for sentence in decided.says:
            click.echo(sentence)

    return click.option("--dry-run", is_flag=True, help="Print the changes without making them.")(on_versions(run))


@click.group("models")
@with_flags
def models() -> None:
    """List, verify, pin and try out the versions of a model repository. Every server of it follows."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@on_versions
def list_versions(versions: Versions, *, as_json: bool) -> None:
    """List every version: good or rejected and why, which one answers, and which ones are canary or shadow."""
    from digits_server.models.command.listing import Listing

    listing = Listing.of(versions)
    click.echo(listing.as_json() if as_json else listing.as_text())
    if listing.error:
        raise SystemExit(1)


@models.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@on_versions
def verify(versions: Versions, version: int | None) -> None:
    """Check a version as a server would, or every one; exit with 1 if any is rejected."""
    chosen = versions.there() if version is None else [version]
    failed = False
    for each in chosen:
        reason = versions.reason(each)
        failed |= bool(reason)
        click.echo(f"version {each}: {reason or 'good'}")
    if failed or not chosen:
        raise SystemExit(1)


@models.command()
@click.argument("version", type=click.IntRange(min=1))
@changing
def pin(versions: Versions, stated: StatedRollout, version: int) -> Plan:
    """Verify VERSION and let it answer, whatever else is published. Ends the canary."""
    from digits_server.models.command import plans

    return plans.pin(versions, stated, version)


@models.command()
@changing
def unpin(versions: Versions, stated: StatedRollout) -> Plan:
    """Let the highest good version answer again."""
    from digits_server.models.command import plans

    return plans.unpin(versions, stated)


@models.command()
@changing
def rollback(versions: Versions, stated: StatedRollout) -> Plan:
    """Pin the good version before the one that answers.

    If there is a canary: end it, and pin the version that answers.
    """
    from digits_server.models.command import plans

    return plans.rollback(versions, stated)


@models.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--share", type=Share(), help="Of the requests that name no version: 0.1 or 10%.")
@click.option(
    "--end", is_flag=True, help="End the canary; the version that answers the other requests then answers all."
)
@changing
def canary(versions: Versions, stated: StatedRollout, version: int | None, share: float | None, *, end: bool) -> Plan:
    """Let VERSION answer a share of the requests, change the share, or end the canary."""
    from digits_server.models.command import plans

    if [version is None, share is None] != [end, end]:
        raise click.UsageError("expected VERSION with --share, or --end alone")
    if version is None or share is None:
        return plans.end_canary(versions, stated)
    return plans.start_canary(versions, stated, version, share)


@models.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--end", is_flag=True, help="End the shadow; the version that answers stays the same.")
@changing
def shadow(versions: Versions, stated: StatedRollout, version: int | None, *, end: bool) -> Plan:
    """Let VERSION score copies of live batches without answering any request, or end the shadow."""
    from digits_server.models.command import plans

    if end == (version is not None):
        raise click.UsageError("expected VERSION, or --end alone")
    return plans.end_shadow(versions, stated) if version is None else plans.start_shadow(versions, stated, version)


@models.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="How many of the newest good versions to keep.",
)
@click.option("--dry-run", is_flag=True, help="Print the versions without removing them.")
@on_versions
def prune(versions: Versions, *, keep: int, dry_run: bool) -> None:
    """Remove old versions, but never a version that is pinned, answers, or is the canary or the shadow."""
    from digits_server.models.command import pruning

    pruning.prune(versions, keep, click.echo, dry_run=dry_run)


def _given(context: click.Context, item: click.Parameter) -> bool:
    return context.get_parameter_source(item.name or "") is ParameterSource.COMMANDLINE
