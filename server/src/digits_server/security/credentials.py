"""What the server shows of itself and asks of callers, read from the files that the settings name."""

from dataclasses import dataclass
from typing import Any

from digits_server.security.authentication import Tokens, token_file
from digits_server.security.reloading import Reloading
from digits_server.security.tls import Identity, identity
from digits_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Credentials:
    """The certificate of the server, and the tokens of callers and of scrapers; each None where none is asked for."""

    identity: Reloading[Identity] | None
    callers: Reloading[Tokens] | None
    scrapers: Reloading[Tokens] | None

    @classmethod
    def read(cls, settings: Settings) -> "Credentials":
        """Raises OperatorError when a file cannot be used. To be called off the event loop: it reads files."""
        return cls(
            identity(settings),
            token_file("--tokens", settings.tokens),
            token_file("--metrics-tokens", settings.metrics_tokens),
        )

    @property
    def files(self) -> dict[str, Reloading[Any]]:
        """What is to be watched, by the names that its metrics have."""
        found = {"certificate": self.identity, "tokens": self.callers, "metrics_tokens": self.scrapers}
        return {name: files for name, files in found.items() if files}
