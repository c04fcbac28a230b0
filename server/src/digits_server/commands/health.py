"""`digits-server health`: whether the server on this machine answers predictions. For the health checks of containers.

Exit codes: 0 it does; 1 it does not, or cannot be asked, with the reason in one line.

It needs the same settings as the server: the environment, the flags, and in a container the flags of its first process.
It imports little, because it is started every few seconds.
"""

import http.client
import ssl
from ipaddress import ip_address
from pathlib import Path

import click

from digits_server import flags
from digits_server.settings import Settings

SECONDS = 2.5
"""Time for the server's answer. The health check of a container should allow one second more, to start this command."""

FIRST_PROCESS = Path("/proc/1/cmdline")
"""The program of a container and its arguments, each with a zero byte behind it."""

PROGRAM = "digits-server"


@click.command(cls=flags.WithSettings, params=list(flags.options()))
@click.pass_context
def health(context: click.Context, /, **_: object) -> None:
    """Ask the server on this machine whether it answers predictions; exit with 1 if not.

    Takes the flags of the server. In a container, it also reads the flags of the first process if that is the server.
    """
    chosen = flags.chosen(context, running=arguments_of(FIRST_PROCESS))
    try:
        said = ask(chosen)
    except Unhealthy as reason:
        raise click.ClickException(str(reason)) from reason
    click.echo(said)


class Unhealthy(Exception):
    """Why the server is not healthy, or cannot be asked."""


def ask(settings: Settings) -> str:
    """The answer of a healthy server, in a few words. Raises Unhealthy."""
    host = reachable(settings.host)
    if settings.http_port:
        return _ask_http(host, settings.http_port, tls=settings.http_tls)
    if settings.grpc_port:
        from digits_server.commands.grpc_health import ask_grpc

        try:
            return ask_grpc(host, settings, SECONDS)
        except OSError as error:
            raise Unhealthy(str(error)) from error
    raise Unhealthy("both ports are 0, so the server chose them, and this command does not know them: set --http-port")


def reachable(host: str) -> str:
    """An address at which this machine reaches a server that listens on `host`."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def arguments_of(process: Path) -> list[str]:
    """The arguments that a process gave to digits-server; empty if it is another program, or cannot be read."""
    try:
        words = process.read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []
    names = [word.rpartition("/")[2] for word in words]
    return words[names.index(PROGRAM) + 1 :] if PROGRAM in names else []


def _ask_http(host: str, port: int, *, tls: bool) -> str:
    where = f"HTTP port {port} of {host}"
    if tls:
        # It asks this machine and sends no secret, so the name in the certificate does not matter.
        unverified = ssl._create_unverified_context()  # noqa: SLF001, S323  # nosec B323
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=SECONDS, context=unverified
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"no answer from {where}: {_words(error)}") from error
    finally:
        connection.close()
    match status:
        case 200:
            return f"ready, says {where}"
        case 401:
            raise Unhealthy(f"{where} asks for a token: let /readyz stand among the paths of --http-open")
        case 503:
            raise Unhealthy(f"not ready, says {where}: it loads a model, or drains")
    raise Unhealthy(f"status {status} from {where}, expected 200: another program may have the port")


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"none within {SECONDS} s"
    if isinstance(error, ssl.SSLError):
        return "the port does not speak TLS, although --http-tls is set"
    if isinstance(error, (http.client.HTTPException, ConnectionResetError)):
        return "the port does not speak HTTP; set --http-tls if it uses TLS"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
