"""How settings are given and shown: flags and environment variables, sections of --help, lines of --print-config.

A flag wins over the environment, and the environment wins over the default.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields
from difflib import get_close_matches
from importlib import import_module
from itertools import groupby
from typing import Any

import click
from click.core import ParameterSource

from digits_server.setting_types import PORT
from digits_server.settings import Settings

ENVIRONMENT_PREFIX = "DIGITS"

OF_WORKERS = f"{ENVIRONMENT_PREFIX}_WORKER_"
"""Prefix of the variables that a supervisor sets for its workers. They are not settings."""

SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://.*")
"""The value that Kubernetes gives DIGITS_GRPC_PORT in every container of a namespace with a Service named
digits-grpc."""

OF_SERVICES = re.compile(r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
"""Suffixes of the other variables that Kubernetes sets for such a Service."""

FLAG_COLUMN = 29
"""Width of the flags' column in --help and --print-config, in characters, so that all sections line up."""


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

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The variable's value, unless it is the address of a Kubernetes Service where a port's number is expected."""
        value = super().resolve_envvar_value(ctx)
        return None if value and self.type is PORT and SERVICE_LINK.match(value) else value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag, and its sentence with the default in brackets."""
        flag = self.opts[0].replace("--", "--[no-]") if self.is_flag else f"{self.opts[0]} {self.make_metavar(ctx)}"
        return flag, f"{self.help} [{shown(self.default)}]" if self.default is not None else f"{self.help}"


class WithSettings(click.Command):
    """A command whose flags are the settings, in their sections of --help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections, then the flags that are not settings."""
        for section, parameters in groupby(self.get_params(ctx), lambda item: getattr(item, "section", "Other")):
            records = [record for item in parameters if (record := item.get_help_record(ctx))]
            with formatter.section(section):
                formatter.write_dl([(flag.ljust(FLAG_COLUMN), text) for flag, text in records], col_max=FLAG_COLUMN)


class ServerCommand(WithSettings, click.Group):
    """The same with subcommands. Each one is imported when it is used; it is given by its name and "module:object"."""

    commands_at: Mapping[str, str] = {
        "health": "digits_server.commands.health:health",
        "models": "digits_server.models.command.group:models",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module, _, name = self.commands_at.get(cmd_name, "").partition(":")
        found: click.Command | None = getattr(import_module(module), name) if module else None
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
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


def chosen(context: click.Context, running: Sequence[str] = ()) -> Settings:
    """The settings of a command: its own flags, else those before its name, else `running`, else the environment.

    running  the arguments that a server was started with
    """
    started = WithSettings("digits-server", params=list(options())).make_context(
        "digits-server", list(running), ignore_unknown_options=True, allow_extra_args=True, resilient_parsing=True
    )
    contexts = [each for each in (context, context.parent, started) if each]
    values = dict(context.params)
    for item in fields(Settings):
        for each in contexts:
            if each.get_parameter_source(item.name) is ParameterSource.COMMANDLINE:
                values[item.name] = each.params[item.name]
                break
    return Settings(**values)


def to_environment(settings: Settings) -> dict[str, str]:
    """`settings` as environment variables."""
    values = {item.name: getattr(settings, item.name) for item in fields(Settings)}
    return {variable(name): shown(value) for name, value in values.items() if value is not None}


def remarks(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence about each variable that looks like a setting and is ignored."""
    known = {variable(item.name): item for item in fields(Settings)}
    for name, value in sorted(environment.items()):
        own = name.removeprefix(f"{ENVIRONMENT_PREFIX}_")
        if own == name or name.startswith(OF_WORKERS) or not value:
            continue
        linked = SERVICE_LINK.match(value)
        if name in known:
            if linked and known[name].metadata["kind"] is PORT:
                yield (
                    f"{name}={value} is ignored: it comes from a Kubernetes Service; enableServiceLinks: false in the "
                    "specification of the pod avoids it"
                )
        elif not linked and not OF_SERVICES.search(own):
            nearest = get_close_matches(own, [item.name.upper() for item in known.values()], 1)
            meant = f"; did you mean {ENVIRONMENT_PREFIX}_{nearest[0]}?" if nearest else ""
            yield f"{name} is ignored: digits-server has no such setting{meant}"


def effective(context: click.Context) -> Iterator[str]:
    """The lines of --print-config: every setting, its value, and where the value came from."""
    settings = [item for item in context.command.params if isinstance(item, Flag)]
    for section, flags in groupby(settings, lambda item: item.section):
        yield f"{section}:"
        for flag in flags:
            value = shown(context.params[flag.field])
            yield f"  {flag.opts[0]:{FLAG_COLUMN}}  {value:{FLAG_COLUMN}}  {_source(context, flag)}"


def shown(value: object) -> str:
    """A setting's value as --help and --print-config write it, and as a flag or a variable accepts it."""
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


def is_given(context: click.Context, field: str) -> bool:
    """Whether a flag or a variable gives this setting."""
    given = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return context.get_parameter_source(field) in given


def _source(context: click.Context, flag: Flag) -> str:
    match context.get_parameter_source(flag.field):
        case ParameterSource.COMMANDLINE:
            return "flag"
        case ParameterSource.ENVIRONMENT:
            variables = flag.envvar or ()
            return "environment " + next(name for name in variables if os.environ.get(name))
        case _:
            return "default"
