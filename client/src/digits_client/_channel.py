"""How a client reaches its servers: names, balancing, retries, TLS."""

import json
import re
from dataclasses import dataclass, field

import grpc
from grpc import aio

from digits_client import _limits
from digits_client._errors import Misused
from digits_client._tokens import Token, checked, stays_here

_HOST = re.compile(r"(\[[^\]]*\]|[^:/\[\]]+):\d+")
"""host:port, the host a name, an IPv4 address or an IPv6 address in brackets. Anything else names its own resolver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where the servers are and how to trust them.

    target              host:port, every address of which is used in turn, or any name gRPC resolves
    tls                 whether to use TLS; implied by any of the certificates
    root_certificates   PEM of the authorities to trust, instead of the platform's own
    certificate_chain   PEM of this client's certificate, for servers that ask for one
    private_key         PEM of its key
    server_name         the name the server's certificate must bear, if not the target's
    token               what every RPC carries to show who calls; None for nothing
    token_in_plaintext  let it leave this machine without TLS
    """

    target: str
    tls: bool = False
    root_certificates: bytes | None = None
    certificate_chain: bytes | None = None
    private_key: bytes | None = None
    server_name: str | None = None
    token: Token | None = field(default=None, repr=False)
    token_in_plaintext: bool = False

    def __post_init__(self) -> None:
        if self.token is None:
            return
        if not (self._encrypted() or self.token_in_plaintext or stays_here(self.target)):
            raise Misused(
                f"the token would travel to {self.target} in plaintext: use TLS, or say token_in_plaintext=True"
            )
        if isinstance(self.token, str):
            object.__setattr__(self, "token", checked(self.token))

    def channel(self) -> grpc.Channel:
        if credentials := self._credentials():
            return grpc.secure_channel(self._name(), credentials, self._options())
        return grpc.insecure_channel(self._name(), self._options())

    def async_channel(self) -> aio.Channel:
        """Bound to the running event loop."""
        if credentials := self._credentials():
            return aio.secure_channel(self._name(), credentials, self._options())
        return aio.insecure_channel(self._name(), self._options())

    def _name(self) -> str:
        return f"dns:///{self.target}" if _HOST.fullmatch(self.target) else self.target

    def _encrypted(self) -> bool:
        return bool(self.tls or self.root_certificates or self.certificate_chain)

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if not self._encrypted():
            return None
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)

    def _options(self) -> list[tuple[str, str | int]]:
        chosen: list[tuple[str, str | int]] = [
            ("grpc.service_config", SERVICE_CONFIG),
            ("grpc.max_receive_message_length", _limits.REPLY_BYTES),
            ("grpc.per_rpc_retry_buffer_size", _limits.RETRY_BUFFER_BYTES),
        ]
        return [*chosen, ("grpc.ssl_target_name_override", self.server_name)] if self.server_name else chosen


SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": _limits.ATTEMPTS,
                    "initialBackoff": f"{_limits.FIRST_BACKOFF_SECONDS}s",
                    "maxBackoff": f"{_limits.MOST_BACKOFF_SECONDS}s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": _limits.RETRY_TOKENS, "tokenRatio": _limits.RETRY_TOKENS_PER_SUCCESS},
    }
)
"""gRPC's own retries: of UNAVAILABLE only, within the call's deadline and the channel's budget."""
