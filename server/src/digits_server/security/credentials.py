"""The server's certificate and the tokens that it accepts, read from the files in the settings."""

from dataclasses import dataclass
from typing import Any

from digits_server.security.authentication import Tokens, token_file
from digits_server.security.reloading import Reloading
from digits_server.security.tls import Identity, identity
from digits_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Credentials:
    """The certificate of the server, and the tokens of callers and of scrapers; None for what is not configured."""

    identity: Reloading[Identity] | None
    callers: Reloading[Tokens] | None
    scrapers: Reloading[Tokens] | None

    @classmethod
    def read(cls, settings: Settings) -> "Credentials":
        """Raises OperatorError if a file cannot be used. It reads files: call it off the event loop."""
        return cls(
            identity(settings),
            token_file("--tokens", settings.tokens),
            token_file("--metrics-tokens", settings.metrics_tokens),
        )

    @property
    def files(self) -> dict[str, Reloading[Any]]:
        """The files to follow, by the names in their metrics."""
        found = {"certificate": self.identity, "tokens": self.callers, "metrics_tokens": self.scrapers}
        return {name: files for name, files in found.items() if files}
