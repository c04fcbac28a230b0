"""The commands of `digits-train`.

Each command imports what it runs when it runs: TensorFlow takes seconds, `--help` and a wrong value must not.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from digits_training.cli.options import settings_of, settings_options
from digits_training.repository.publish import versions
from digits_training.settings import Kind, Settings

TRACEBACK_FLAG = "--traceback"


def _say(line: str) -> None:
    print(line, flush=True)


@click.group(context_settings={"max_content_width": 100})
@click.option(
    TRACEBACK_FLAG,
    is_flag=True,
    expose_value=False,
    help="Also print the traceback of an unexpected error; give it before the command, or set DIGITS_TRACEBACK=1.",
)
def commands() -> None:
    """Trains digit classifiers and publishes them to a model repository."""


@commands.command()
@settings_options(*(each.name for each in fields(Settings) if each.metadata["kind"] != Kind.READING))
@click.option(
    "--unless-published",
    is_flag=True,
    envvar="DIGITS_UNLESS_PUBLISHED",
    help="Do nothing if a version is already published.",
)
def train(*, unless_published: bool, **options: Any) -> None:
    """Train a network and publish it as the next version."""
    settings = settings_of(options)
    if unless_published and (published := versions(settings.model_folder)):
        _say(f"version {published[-1]} is published in {settings.model_folder}: not training again")
        return
    from digits_training.jobs import train as training

    training.train(settings, _say)


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

    The file is checked before any part of it is built. Then the model is evaluated, converted, and published as the
    next version.
    """
    settings = settings_of(options)
    from digits_training.jobs import import_model as importing

    importing.import_model(file, settings, _say)


@commands.command()
@click.argument("version", type=click.IntRange(min=1))
@settings_options("repository", "data", "transpose", "invert", "runs")
def evaluate(version: int, **options: Any) -> None:
    """Recompute the figures of a published version, and fail if they differ from its manifest.

    If --data names data that the version was not made with, evaluate it on them, and write a report to --runs.
    """
    settings = settings_of(options)
    from digits_training.jobs import audit, other_data

    if other_data.is_given(version, settings):
        other_data.evaluate_on(version, settings, _say)
    else:
        audit.audit(version, settings, _say)


@commands.command(context_settings={"ignore_unknown_options": True})
@click.option("--over", "varied", multiple=True, required=True, metavar="NAME=VALUE,VALUE", help="Values to try.")
@click.argument("options_of_train", nargs=-1, type=click.UNPROCESSED)
def sweep(*, varied: tuple[str, ...], options_of_train: tuple[str, ...]) -> None:
    """Train with every combination of some values, publish nothing, and compare the runs.

    The values of a list are separated by slashes: --over hidden-sizes=20,20/50. The other options are those of train.
    """
    with train.make_context("train", list(options_of_train)) as context:
        settings = settings_of({name: value for name, value in context.params.items() if name != "unless_published"})
    from digits_training.runs import sweep as sweeping

    sweeping.sweep(sweeping.combinations(varied), options_of_train, settings, _say)


@commands.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Picture of the curves. Default: compare.png in --runs."
)
@settings_options("runs")
def runs(names: tuple[str, ...], *, output: Path | None, **options: Any) -> None:
    """List the recorded runs, or compare some: settings that differ, accuracy, seconds, curves in one picture."""
    settings = settings_of(options)
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
    """Write a published version in another format, if it gives the same answers on the test set."""
    settings = settings_of(options)
    from digits_training.conversion import onnx

    onnx.export_version(version, output or Path(f"digits-{version}.{file_format}"), settings, _say)


@commands.command()
@click.argument("version", type=click.IntRange(min=1))
@settings_options("repository", "sign_key", "public_key")
def sign(version: int, **options: Any) -> None:
    """Sign a published version with the key of --sign-key."""
    settings = settings_of(options)
    if settings.sign_key is None:
        raise click.UsageError("--sign-key is missing: name the private key.")
    from digits_training.repository import signing

    signing.sign(settings.model_folder / str(version), settings.sign_key, settings.public_key)
    _say(f"signed version {version}")
