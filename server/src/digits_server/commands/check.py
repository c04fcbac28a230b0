"""`digits-server --check`: whether a server with these settings would start.

Prints one line for each part, and leaves nothing behind. Every part is tried as at a start. A fault in one part does
not hide faults in the others.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import click

from digits_server import flags
from digits_server.errors import OperatorError
from digits_server.security.authentication import open_to_network, token_file
from digits_server.security.tls import identity
from digits_server.settings import Settings
from digits_server.system.ports import hold_port
from digits_server.transports.choice import choose

DAY = 86400
"""Seconds."""


def check(settings: Settings) -> bool:
    """Prints a line for each part. Returns whether a server would start."""
    logging.disable()  # the printed lines have the details
    parts = {
        "settings": lambda: _settings(settings),
        "transport": lambda: "{}: {}".format(*choose(settings)),
        "certificate": lambda: _certificate(settings),
        "tokens": lambda: _tokens(settings),
        "traces": lambda: _traces(settings),
        "ports": lambda: _ports(settings),
        "model": lambda: _model(settings),
    }
    verdicts = [_try(name, part) for name, part in parts.items()]  # run all parts, even if the first one fails
    return all(verdicts)


def _try(name: str, part: Callable[[], str]) -> bool:
    try:
        click.echo(f"ok      {name}: {part()}")
    except OperatorError as error:
        click.echo(f"failed  {name}: {error.message}")
        return False
    return True


def _settings(settings: Settings) -> str:
    said = [*flags.remarks(os.environ)]
    if open_to_network(settings):
        said.append(f"--host {settings.host} is for a network, and there is neither TLS nor a list of tokens")
    return "; ".join(said) or "every value is valid"


def _certificate(settings: Settings) -> str:
    own = identity(settings)
    if own is None:
        return "not configured: plaintext"
    days = int((own.value.expires - time.time()) // DAY)
    callers = "; callers need one, too" if settings.tls_client_ca else ""
    return f"{settings.tls_certificate} and its key can be used, for {days} days{callers}"


def _tokens(settings: Settings) -> str:
    said = []
    for flag, path in (("--tokens", settings.tokens), ("--metrics-tokens", settings.metrics_tokens)):
        if found := token_file(flag, path):
            said.append(f"{len(found.value.names)} in {flag}")
    return ", ".join(said) or "not configured"


def _traces(settings: Settings) -> str:
    from digits_server.observers.setup import observation

    observation(settings, None).close()
    return f"they would be sent to {settings.tracing_endpoint}" if settings.tracing_endpoint else "not configured"


def _ports(settings: Settings) -> str:
    with ExitStack() as held:
        for purpose, port in (("gRPC", settings.grpc_port), ("HTTP", settings.http_port)):
            held.enter_context(hold_port(settings.host, port, purpose))
    return f"gRPC may listen on {settings.host}:{settings.grpc_port}, HTTP on {settings.host}:{settings.http_port}"


def _model(settings: Settings) -> str:
    from digits_server.app import App
    from digits_server.models.source import model_source
    from digits_server.security.credentials import Credentials

    source = model_source(settings)

    # The other parts print their own lines.
    plain = replace(
        settings,
        transport="grpcio",
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        http_tls=False,
        tokens=None,
        metrics_tokens=None,
        tracing_endpoint=None,
    )

    async def load() -> str:
        return await App(plain, source, Credentials.read(plain)).try_model()

    return asyncio.run(load())
