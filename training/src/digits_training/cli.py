"""`digits-train`: parse, call, exit codes.

0 done; 1 failed; 2 a value that cannot be used; 3 the gate refused to publish; 143 stopped by SIGTERM. Every failure
is one line on stderr; `digits-train --traceback COMMAND` prints the traceback of an unexpected one, and of
code of one's own, before it.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from digits_training.errors import Interrupted, NetworkError, TrainingError
from digits_training.publish import versions
from digits_training.settings import Kind, Settings, flag
from digits_training.settings.networks import DEFAULTS

_TRACEBACK_FLAG = "--traceback"
_TRACEBACK_VARIABLE = "DIGITS_TRACEBACK"


def main() -> None:
    """The console script. SIGTERM and SIGINT end it cleanly: what was begun is undone, what was trained is kept."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        commands.main(arguments, prog_name="digits-train", standalone_mode=False)
    except click.ClickException as error:
        return _failed(" ".join(error.format_message().split()), error.exit_code)
    except TrainingError as error:
        if isinstance(error, NetworkError) and error.__cause__:  # code of one's own
            _print_traceback_if_asked(arguments)
        return _failed(str(error), error.exit_code)
    except OSError as error:
        named = f"{error.strerror}: {error.filename}" if error.filename else " ".join(str(error).split())
        return _failed(_disk_full(error) or named, 1)
    except Interrupted as interruption:
        return _failed("; ".join([str(interruption), *getattr(interruption, "__notes__", [])]), interruption.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever fails, the person gets one line and an exit code
        _print_traceback_if_asked(arguments)
        return _failed(_disk_full(error) or f"{type(error).__name__}: {' '.join(str(error).split())}", 1)
    return 0


def _print_traceback_if_asked(arguments: list[str]) -> None:
    if _TRACEBACK_FLAG in arguments or os.environ.get(_TRACEBACK_VARIABLE, "") not in {"", "0"}:
        traceback.print_exc()


def _disk_full(error: Exception) -> str | None:
    """What a full disk, quota or file size limit is told as, whichever library noticed it; None for other errors."""
    known = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    return next((f"could not write: {reason}" for reason in known if reason in str(error)), None)


def _interrupt(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough; cleaning up takes a moment
    raise Interrupted(number)


def _failed(sentence: str, exit_code: int) -> int:
    # It may quote a model file of a stranger, who must not write control sequences to this terminal.
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in sentence)
    print(f"digits-train: {printable}", file=sys.stderr)
    return exit_code


class _Listed(click.ParamType[tuple[Any, ...]]):
    """Values separated by commas."""

    name = "list"

    def __init__(self, element: Callable[[str], Any]) -> None:
        self._element = element

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        try:
            return tuple(self._element(part.strip()) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas.", param, ctx)


_TYPES: dict[Any, Any] = {
    Path: click.Path(path_type=Path),
    Path | None: click.Path(path_type=Path),
    float | None: float,
    tuple[int, ...]: _Listed(int),
    tuple[str, ...]: _Listed(str),
}
Command = Callable[..., None]


def settings_options(*names: str) -> Callable[[Command], Command]:
    """An option and an environment variable for each of these fields of Settings; those not given keep its default."""

    def decorate(command: Command) -> Command:
        for each in reversed([each for each in fields(Settings) if each.name in names]):
            command = click.option(
                flag(each.name),
                type=_TYPES.get(each.type, each.type),
                is_flag=each.type is bool or None,  # with False, click takes a value below 0 for another option
                envvar=f"DIGITS_{each.name.upper()}",
                help=each.metadata["help"] + _defaults(each),
            )(command)
        return command

    return decorate


def _defaults(each: Field[Any]) -> str:
    """The default of a setting for its help, with what single networks have instead."""
    others = {network: own[each.name] for network, own in DEFAULTS.items() if each.name in own}
    texts = [] if each.default is None or each.default is False else [_text(each.default)]
    texts += [f"{network} {_text(value)}" for network, value in others.items()]
    return f" Default: {', '.join(texts)}." if texts else ""


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _settings(options: dict[str, Any]) -> Settings:
    return Settings.for_network(**{name: value for name, value in options.items() if value is not None})


def _say(line: str) -> None:
    print(line, flush=True)


@click.group(context_settings={"max_content_width": 100})
@click.option(
    _TRACEBACK_FLAG,
    is_flag=True,
    expose_value=False,
    help="Print Python's traceback of an unexpected error too; before the command, or DIGITS_TRACEBACK=1.",
)
def commands() -> None:
    """Trains digit classifiers and publishes them to a model repository."""


# Each command imports what it runs when it runs: TensorFlow takes seconds, `--help` and a wrong value should not.


@commands.command()
@settings_options(*(each.name for each in fields(Settings) if each.metadata["kind"] != Kind.READING))
@click.option(
    "--unless-published",
    is_flag=True,
    envvar="DIGITS_UNLESS_PUBLISHED",
    help="Do nothing if a version is published already.",
)
def train(*, unless_published: bool, **options: Any) -> None:
    """Train a network and publish it as the next version."""
    settings = _settings(options)
    if unless_published and (published := versions(settings.model_folder)):
        _say(f"version {published[-1]} is published in {settings.model_folder}: not training again")
        return
    from digits_training import job

    job.train(settings, _say)


@commands.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@settings_options(
    *(
        "repository",
        "data",
        "transpose",
        "invert",
        "test_share",
        "seed",
        "runs",
        "no_publish",
        "save",
        "pixel_range",
        "min_accuracy",
        "max_regression",
        "force",
        "labels",
        "sign_key",
        "public_key",
    )
)
def import_model(file: Path, **options: Any) -> None:
    """Publish a model made elsewhere: a .keras or .h5 file, or a SavedModel folder.

    It is checked before anything of it is built, evaluated, converted, and published as the next version.
    """
    settings = _settings(options)
    from digits_training import job

    job.import_model(file, settings, _say)


@commands.command()
@click.argument("version", type=click.IntRange(min=1))
@settings_options("repository", "data", "transpose", "invert", "runs")
def evaluate(version: int, **options: Any) -> None:
    """Recompute the figures of a published version, and fail if they are not those of its manifest.

    If --data names other data than those it was made with: evaluate it on them, and leave a report in --runs.
    """
    settings = _settings(options)
    from digits_training import audit
    from digits_training.runs import other_data

    if other_data.is_given(version, settings):
        other_data.evaluate_on(version, settings, _say)
    else:
        audit.audit(version, settings, _say)


@commands.command(context_settings={"ignore_unknown_options": True})
@click.option("--over", "varied", multiple=True, required=True, metavar="NAME=VALUE,VALUE", help="Values to try.")
@click.argument("options_of_train", nargs=-1, type=click.UNPROCESSED)
def sweep(*, varied: tuple[str, ...], options_of_train: tuple[str, ...]) -> None:
    """Train with every combination of some values, publish nothing, and compare the runs.

    The values of a list are separated by slashes: --over hidden-sizes=20,20/50. Other options are those of train.
    """
    with train.make_context("train", list(options_of_train)) as context:
        settings = _settings({name: value for name, value in context.params.items() if name != "unless_published"})
    from digits_training.runs import sweep as sweeping

    sweeping.sweep(sweeping.combinations(varied), options_of_train, settings, _say)


@commands.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Picture of the curves. Default: compare.png in --runs."
)
@settings_options("runs")
def runs(names: tuple[str, ...], *, output: Path | None, **options: Any) -> None:
    """List the runs that were kept, or compare some: settings that differ, accuracy, seconds, curves in one picture."""
    settings = _settings(options)
    from digits_training.runs import compare

    if names:
        compare.compare(settings.runs, names, output or settings.runs / compare.PICTURE, _say)
    else:
        compare.list_runs(settings.runs, _say)


@commands.command()
@click.argument("version", type=click.IntRange(min=1))
@click.option("--format", "file_format", type=click.Choice(["onnx"]), required=True, help="The format to write.")
@click.option("--output", type=click.Path(path_type=Path), help="File to write. Default: digits-VERSION.onnx.")
@settings_options("repository", "data")
def export(version: int, *, file_format: str, output: Path | None, **options: Any) -> None:
    """Write a published version in another format, once proved equal on the test set."""
    settings = _settings(options)
    from digits_training.conversion import onnx

    onnx.export_version(version, output or Path(f"digits-{version}.{file_format}"), settings, _say)


@commands.command()
@click.argument("version", type=click.IntRange(min=1))
@settings_options("repository", "sign_key", "public_key")
def sign(version: int, **options: Any) -> None:
    """Sign a published version with the key of --sign-key."""
    settings = _settings(options)
    if settings.sign_key is None:
        raise click.UsageError("--sign-key is needed.")
    from digits_training import signing

    signing.sign(settings.model_folder / str(version), settings.sign_key, settings.public_key)
    _say(f"signed version {version}")
