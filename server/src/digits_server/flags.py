"""How settings are given and shown: flags and environment variables, sections of --help, lines of --print-config.

Flags win over the environment, the environment over the default.
"""

import os
from collections.abc import Iterator
from dataclasses import Field, fields
from itertools import groupby
from typing import Any

import click
from click.core import ParameterSource

from digits_server.settings import Settings

ENVIRONMENT_PREFIX = "DIGITS"

FLAG_COLUMN = 29
"""Characters that --help and --print-config leave for the flags, so that all sections line up."""


class Flag(click.Option):
    """One setting on the command line."""

    def __init__(self, item: "Field[Any]", section: str) -> None:
        flag = item.name.replace("_", "-")
        super().__init__(
            [f"--{flag}/--no-{flag}" if item.metadata["kind"] is bool else f"--{flag}"],
            type=item.metadata["kind"],
            default=item.default,
            envvar=[variable(item.name), *item.metadata["also"]],
            help=item.metadata["help"],
        )
        self.field = item.name
        self.section = section

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag, and its sentence with the default in brackets."""
        flag = self.opts[0].replace("--", "--[no-]") if self.is_flag else f"{self.opts[0]} {self.make_metavar(ctx)}"
        return flag, f"{self.help} [{shown(self.default)}]" if self.default is not None else f"{self.help}"


class ServerCommand(click.Group):
    """A command whose flags are the settings, in their sections, and which may have further commands."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections, then the flags that are no settings, then the commands."""
        for section, parameters in groupby(self.get_params(ctx), lambda item: getattr(item, "section", "Other")):
            records = [record for item in parameters if (record := item.get_help_record(ctx))]
            with formatter.section(section):
                formatter.write_dl([(flag.ljust(FLAG_COLUMN), text) for flag, text in records], col_max=FLAG_COLUMN)
        self.format_commands(ctx, formatter)


def options() -> list[click.Option]:
    """The flags of `digits-server`, one for each field of `Settings`, in their order."""
    flags: list[click.Option] = []
    section = ""
    for item in fields(Settings):
        section = item.metadata["section"] or section
        flags.append(Flag(item, section))
    return flags


def from_environment() -> Settings:
    """The settings of the environment variables, without any flag."""
    return Settings(**click.Command("digits-server", params=list(options())).make_context("digits-server", []).params)


def to_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that say the same as `settings`."""
    values = {item.name: getattr(settings, item.name) for item in fields(Settings)}
    return {variable(name): shown(value) for name, value in values.items() if value is not None}


def effective(context: click.Context) -> Iterator[str]:
    """The lines of --print-config: every setting, its value, and who said so."""
    settings = [item for item in context.command.params if isinstance(item, Flag)]
    for section, flags in groupby(settings, lambda item: item.section):
        yield f"{section}:"
        for flag in flags:
            value = shown(context.params[flag.field])
            yield f"  {flag.opts[0]:{FLAG_COLUMN}}  {value:{FLAG_COLUMN}}  {_source(context, flag)}"


def shown(value: object) -> str:
    """A setting's value as --help and --print-config write it, and as a flag or a variable may say it."""
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case _:
            return str(value)


def variable(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return f"{ENVIRONMENT_PREFIX}_{field.upper()}"


def _source(context: click.Context, flag: Flag) -> str:
    match context.get_parameter_source(flag.field):
        case ParameterSource.COMMANDLINE:
            return "flag"
        case ParameterSource.ENVIRONMENT:
            variables = flag.envvar or ()
            return "environment " + next(name for name in variables if os.environ.get(name))
        case _:
            return "default"
