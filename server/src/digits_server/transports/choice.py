"""The choice of the transport."""

from importlib.util import find_spec
from typing import NamedTuple

from digits_server.errors import OperatorError
from digits_server.security.authentication import is_loopback
from digits_server.settings import Settings

LIBRARY = "pygrpc_native"


class Choice(NamedTuple):
    """A transport, and why it was chosen."""

    name: str
    reason: str

    @property
    def fields(self) -> dict[str, str]:
        """The fields of its log line."""
        return {"transport": self.name, "transport_because": self.reason}


def choose(settings: Settings) -> Choice:
    """The transport for `--transport` on this machine. Raises OperatorError if it is not available."""
    installed = find_spec(LIBRARY) is not None
    if settings.transport == "native":
        if settings.tls_certificate:
            raise OperatorError(
                "--transport native has no TLS: use --transport grpcio, or let Envoy in front take TLS (deploy/envoy)"
            )
        if not installed:
            raise OperatorError("--transport native needs the package pygrpc-native, which this platform lacks")
        return Choice("native", "it was asked for")
    if settings.transport == "grpcio":
        return Choice("grpcio", "it was asked for")
    if settings.tls_certificate:
        return Choice("grpcio", "TLS was asked for, which native does not have")
    if not is_loopback(settings.host):
        return Choice(
            "grpcio", "it listens to a network, where the size of messages must be bounded while they are read"
        )
    if not installed:
        return Choice("grpcio", "the package pygrpc-native is not installed")
    return Choice("native", "it listens to this machine only")
