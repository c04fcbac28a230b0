"""`digits-server`: settings → app → exit code.

Exit codes: 0 after a clean stop; 1 if the server cannot start, with the reason in one line; 2 for an unknown flag.
"""

import logging
import os
from typing import TYPE_CHECKING, Any

import click

from digits_server import flags
from digits_server.errors import OperatorError
from digits_server.settings import RESERVED_CONNECTIONS, Settings

if TYPE_CHECKING:
    from digits_server.workers.process_role import Role

# The modules that serve are imported where they are used, so --help, a wrong flag and `digits-server health` answer
# at once.

log = logging.getLogger(__name__)


@click.group(
    "digits-server",
    cls=flags.ServerCommand,
    params=flags.options(),
    invoke_without_command=True,
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
)
@click.option("--print-config", is_flag=True, help="Print every setting, its value and where it came from, and exit.")
@click.option("--check", is_flag=True, help="Say whether a server with these settings would start, and exit.")
@click.version_option(package_name="digits-server", message="%(prog)s %(version)s", help="Print the version and exit.")
@click.help_option("-h", "--help", help="Print this and exit.")
@click.pass_context
def main(context: click.Context, /, *, print_config: bool, check: bool, **values: Any) -> None:
    """Serve digit predictions over gRPC, with metrics and health over HTTP.

    Every flag is also an environment variable: --grpc-port is DIGITS_GRPC_PORT. A flag wins over the variable. Defaults
    are in brackets.
    """
    if context.invoked_subcommand == "models":
        from digits_server.models.command.group import settings_for_models

        context.obj = settings_for_models(context, values)
    if context.invoked_subcommand:
        return
    from digits_server.models.installed import explained, with_installed_model

    named = flags.is_given(context, "repository")
    chosen, package = with_installed_model(Settings(**values), repository_named=named)
    if print_config:
        _print_config(context, chosen, package)
        return
    if check:
        from digits_server.commands.check import check as would_start

        context.exit(0 if would_start(chosen) else 1)
    from digits_server.system import open_files
    from digits_server.system.scheduling import work_in_batches
    from digits_server.workers.process_role import own_role

    role = own_role()
    work_in_batches()  # before the first thread starts, which is the log's
    _begin_log(chosen, role)
    open_files.allow(chosen.max_grpc_connections + chosen.max_connections + RESERVED_CONNECTIONS)
    if not role.shares_ports:  # the supervisor has logged this for its workers
        _remark(chosen, package, values["repository"])
    try:
        if chosen.workers > 1:
            from digits_server.workers.supervisor import supervise

            supervise(chosen)
        else:
            import uvloop

            uvloop.run(_serve(chosen, role))
    except OperatorError as error:
        _failed(chosen, role, error.message if named else explained(error.message, chosen))
        context.exit(1)


def _begin_log(chosen: Settings, role: "Role") -> None:
    from digits_server.observability import foreign_lines, logs

    if logs.is_json(chosen.log_format):
        foreign_lines.take_over()
    logs.configure(chosen.log_level, chosen.log_format, role.log_fields)


def _remark(chosen: Settings, package: str, missing: object) -> None:
    """Logs what may surprise the operator: ignored variables, an installed model, a server that is open to anybody."""
    from digits_server.security.authentication import open_to_network

    for remark in flags.remarks(os.environ):
        log.warning(remark)
    if package:
        log.info("serving the installed package %s: %s does not exist", package, missing)
    if open_to_network(chosen):
        log.warning(
            "anybody who reaches this machine may call the server and read what others send: --host %s is for a "
            "network, and there is neither TLS nor a list of tokens (docs/security.md)",
            chosen.host,
        )


def _failed(chosen: Settings, role: "Role", message: str) -> None:
    """Says why the server cannot start, in a line for people, or in JSON if --log-format is json."""
    if chosen.log_format == "json" and not role.shares_ports:
        log.error(message)
    else:
        role.failed(message)


def _print_config(context: click.Context, chosen: Settings, package: str) -> None:
    from digits_server.transports.choice import choose

    for line in flags.effective(context):
        click.echo(line)
    if package:
        click.echo(f"The model is that of the installed package {package}, in {chosen.repository}.")
    try:
        click.echo("The transport is {}: {}.".format(*choose(chosen)))
    except OperatorError as error:
        raise click.ClickException(error.message) from error


async def _serve(chosen: Settings, role: "Role") -> None:
    import asyncio

    from digits_server.sandbox.parent import SANDBOX
    from digits_server.system.memory import postpone_collections

    postpone_collections()
    SANDBOX.start_early("keras" if chosen.model else chosen.runtime)  # its imports run in parallel with the code below
    from digits_server.app import App
    from digits_server.models.source import model_source
    from digits_server.security.credentials import Credentials
    from digits_server.system.background_thread import BackgroundThread, leave_busy_threads
    from digits_server.system.signals import stop_signal

    stopping = stop_signal()
    # In a thread: the server must be able to stop even if a volume does not answer.
    reading = asyncio.ensure_future(
        BackgroundThread("start", yields=False).run(
            lambda: (model_source(chosen), Credentials.read(chosen)), what="reading files"
        )
    )
    await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        source, credentials = reading.result()
        await App(chosen, source, credentials, role=role).run(stopping)
    leave_busy_threads()


if __name__ == "__main__":
    main()
