"""`digits-server`: settings → app → exit code.

0 after a clean stop; 1 when the server cannot start, with the reason in one line; 2 for a flag it does not know.
"""

import asyncio
from typing import Any

import click

from digits_server import logs, settings
from digits_server.errors import OperatorError


@click.version_option(package_name="digits-server")
@click.command(
    "digits-server",
    params=settings.options(),
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
)
def main(**values: Any) -> None:
    """Serve digit predictions over gRPC, with metrics and health over HTTP.

    Every flag is also an environment variable: --grpc-port is DIGITS_GRPC_PORT.
    """
    chosen = settings.Settings(**values)
    logs.configure(chosen.log_level, chosen.log_format)
    try:
        if chosen.transport == "envoy":
            from digits_server.transports.envoy.launch import become_envoy

            become_envoy(chosen)
        asyncio.run(_serve(chosen))
    except OperatorError as error:
        raise click.ClickException(error.message) from error


async def _serve(chosen: settings.Settings) -> None:
    from digits_server.app import App  # here, so that --help and a wrong flag answer at once
    from digits_server.signals import stop_signal

    await App(chosen).run(stop_signal())


if __name__ == "__main__":
    main()
