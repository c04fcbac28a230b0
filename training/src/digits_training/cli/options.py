"""Command-line options and environment variables, made from the fields of Settings."""

from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from digits_training.settings import Settings, flag
from digits_training.settings.networks import DEFAULTS


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
    """An option and an environment variable for each of these fields of Settings; without them, the default holds."""

    def decorate(command: Command) -> Command:
        for each in reversed([each for each in fields(Settings) if each.name in names]):
            command = click.option(
                flag(each.name),
                type=_TYPES.get(each.type, each.type),
                is_flag=each.type is bool or None,  # with False, click reads a negative value as an option
                envvar=f"DIGITS_{each.name.upper()}",
                help=each.metadata["help"] + _defaults(each),
            )(command)
        return command

    return decorate


def _defaults(each: Field[Any]) -> str:
    """The default of a setting for its help, with the defaults of single networks."""
    others = {network: own[each.name] for network, own in DEFAULTS.items() if each.name in own}
    texts = [] if each.default is None or each.default is False else [_text(each.default)]
    texts += [f"{network} {_text(value)}" for network, value in others.items()]
    return f" Default: {', '.join(texts)}." if texts else ""


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings that a command was given; an option that was left out is None here and keeps its default."""
    return Settings.for_network(**{name: value for name, value in options.items() if value is not None})
