"""`digits-train`: parse, call, exit codes.

0 done; 1 failed; 2 a value that cannot be used; 3 the gate refused to publish. Every failure is one line on stderr.
"""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from digits_training.errors import TrainingError
from digits_training.settings import Settings, flag


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        commands.main(arguments, prog_name="digits-train", standalone_mode=False)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except TrainingError as error:
        return _failed(str(error), error.exit_code)
    except OSError as error:
        return _failed(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1)
    except Exception as error:  # noqa: BLE001 - whatever fails, the person gets one line and an exit code
        return _failed(f"{type(error).__name__}: {' '.join(str(error).split())}", 1)
    return 0


def _failed(sentence: str, exit_code: int) -> int:
    print(f"digits-train: {sentence}", file=sys.stderr)
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


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """One option and one environment variable per field of Settings; those not given keep the field's default."""
    for each in reversed(fields(Settings)):
        shown = ",".join(map(str, each.default)) if isinstance(each.default, tuple) else each.default
        command = click.option(
            flag(each.name),
            type=_TYPES.get(each.type, each.type),
            envvar=f"DIGITS_{each.name.upper()}",
            help=each.metadata["help"] + (f" Default: {shown}." if shown is not None else ""),
        )(command)
    return command


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _say(line: str) -> None:
    print(line, flush=True)


@click.group(context_settings={"max_content_width": 100})
def commands() -> None:
    """Trains digit classifiers and publishes them to a model repository."""


@commands.command()
@settings_options
def train(**options: Any) -> None:
    """Train a network and publish it as the next version."""
    settings = Settings(**_given(options))
    from digits_training.job import train as run_training  # TensorFlow takes seconds to import

    run_training(settings, _say)
