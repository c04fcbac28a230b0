"""How a client reaches its servers: names, balancing, retries, TLS."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from grpc import aio

from digits_client import _limits
from digits_client._connection.log import Connectivity
from digits_client._connection.metadata import Pairs
from digits_client._connection.pem import Pem, pem_of
from digits_client._connection.tls_faults import TlsFaults
from digits_client._connection.tokens import Token, checked, stays_here
from digits_client._errors import DigitsError, InvalidInput, Misused, Unavailable, caused, from_rpc
from digits_client._settings import DEFAULT_RETRIES, DEFAULT_SIZES, NO_RETRIES, Retries, Sizes

_HOST = re.compile(r"(\[[^\]]*\]|[^:/\[\]]+):\d+")
"""host:port, the host a name, an IPv4 address or an IPv6 address in brackets. Anything else names its own resolver."""

_HOST_ALONE = re.compile(r"\[[^\]\s]+\]|[^:/\[\],\s]+")
"""A host without a port; an IPv6 address in brackets."""

_ADDRESS_6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]+(%[\w.-]+)?")
"""An IPv6 address without brackets, perhaps with a zone."""

ChannelOptions: TypeAlias = Mapping[str, str | int] | Iterable[tuple[str, str | int]]
"""Names and values of gRPC's channel arguments, "grpc.keepalive_time_ms" for one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where the servers are and how to trust them.

    target              host:port, every address of which is used in turn, or any name gRPC resolves
    tls                 whether to use TLS; implied by any of the certificates
    root_certificates   PEM of the authorities to trust, instead of the platform's own: its bytes, or a path
    certificate_chain   PEM of this client's certificate, for servers that ask for one: its bytes, or a path
    private_key         PEM of its key: its bytes, or a path
    server_name         the name that the server's certificate must contain, if it is not the target's
    token               the bearer token of every RPC; None: no token
    token_in_plaintext  allow it to leave this machine without TLS
    metadata            further metadata of every RPC
    retries             when an RPC is tried again; None: never
    sizes               how large RPCs are
    options             gRPC's options of the channel; they replace those that the client sets itself
    connectivity        logs the changes of the connection
    faults              explains failures of TLS
    """

    target: str
    tls: bool = False
    root_certificates: Pem | None = None
    certificate_chain: Pem | None = None
    private_key: Pem | None = None
    server_name: str | None = None
    token: Token | None = field(default=None, repr=False)
    token_in_plaintext: bool = False
    metadata: Pairs = ()
    retries: Retries | None = DEFAULT_RETRIES
    sizes: Sizes = DEFAULT_SIZES
    options: ChannelOptions | None = None
    connectivity: Connectivity = field(init=False, repr=False, compare=False)
    faults: TlsFaults = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", _checked_target(self.target))
        object.__setattr__(self, "connectivity", Connectivity(self.target))
        object.__setattr__(self, "options", _checked_options(self.options))
        if not isinstance(self.retries, Retries | None):
            raise InvalidInput(f"retries: expected Retries(attempts=…) or None; got {self.retries!r}")
        if not isinstance(self.sizes, Sizes):
            raise InvalidInput(f"sizes: expected Sizes(images_per_rpc=…); got {self.sizes!r}")
        for name in ("root_certificates", "certificate_chain", "private_key"):
            object.__setattr__(self, name, pem_of(name, getattr(self, name)))
        object.__setattr__(self, "faults", self._faults())
        if (self.certificate_chain is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate_chain"
            raise Misused(f"{missing} is missing: certificate_chain and private_key are needed together")
        if self.server_name is not None and not (self.server_name and self._encrypted()):
            raise Misused("server_name has no effect without TLS: add tls=True or root_certificates, or leave it out")
        if self.token is None:
            return
        if not (self._encrypted() or self.token_in_plaintext or stays_here(self.target)):
            raise Misused(
                f"the token would travel to {self.target} in plaintext: use TLS, or say token_in_plaintext=True"
            )
        if not callable(self.token):
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

    def failure(self, error: Any) -> DigitsError:
        """The error for gRPC's own error. If a server cannot be reached, it also says what is wrong with TLS."""
        failed = from_rpc(error)
        if isinstance(failed, Unavailable) and (explained := self.faults.explained(str(failed))) != str(failed):
            failed = caused(Unavailable(explained), error)
        return failed

    def _faults(self) -> TlsFaults:
        host, _, port = self.target.rpartition(":")
        here = _HOST.fullmatch(self.target) and stays_here(self.target)
        loopback = (host.strip("[]"), int(port)) if here else None
        own = self.certificate_chain is not None
        roots: Any = self.root_certificates  # Pem narrowed to bytes, too
        return TlsFaults(self._encrypted(), roots, self.server_name, own, loopback)

    def _name(self) -> str:
        return f"dns:///{self.target}" if _HOST.fullmatch(self.target) else self.target

    def _encrypted(self) -> bool:
        return self.tls or self.root_certificates is not None or self.certificate_chain is not None

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if not self._encrypted():
            return None
        # Pem narrowed to bytes when this object was made.
        files: list[Any] = [self.root_certificates, self.private_key, self.certificate_chain]
        return grpc.ssl_channel_credentials(*files)

    def _options(self) -> list[tuple[str, str | int]]:
        chosen: list[tuple[str, str | int]] = [
            ("grpc.service_config", service_config(self.retries or NO_RETRIES)),
            ("grpc.use_local_subchannel_pool", 1),  # servers give turns to connections, so each client has its own
            ("grpc.max_receive_message_length", self.sizes.reply_bytes),
            ("grpc.per_rpc_retry_buffer_size", _limits.RETRY_BUFFER_BYTES),
            ("grpc.keepalive_time_ms", _limits.KEEPALIVE_MILLISECONDS),
            ("grpc.keepalive_timeout_ms", _limits.KEEPALIVE_TIMEOUT_MILLISECONDS),
            ("grpc.min_reconnect_backoff_ms", _limits.CONNECT_MILLISECONDS),  # the time of one attempt
            ("grpc.dns_min_time_between_resolutions_ms", _limits.RESOLVE_MILLISECONDS),
            ("grpc.initial_reconnect_backoff_ms", _limits.FIRST_RECONNECT_MILLISECONDS),
            ("grpc.max_reconnect_backoff_ms", _limits.MOST_RECONNECT_MILLISECONDS),
        ]
        if stays_here(self.target):
            chosen.append(("grpc.enable_http_proxy", 0))
        if not self._encrypted() and (first := _first_of_several(self.target)):
            chosen.append(("grpc.default_authority", first))
        if self.server_name:
            chosen.append(("grpc.ssl_target_name_override", self.server_name))
        return list((dict(chosen) | dict(self.options or {})).items())


def _checked_target(target: str) -> str:
    """The target, with the default port if the host has none. Misused if it cannot be a gRPC target."""
    text = target.strip()
    if "://" in text and text.split("://", 1)[0].lower() in {"http", "https", "grpc", "grpcs"}:
        raise Misused(f"target: expected host:port, got {text!r}: leave the scheme out (tls=True turns TLS on)")
    if not text or re.search(r"\s", text):
        raise Misused(f"target: expected host:port, got {target!r}")
    if _ADDRESS_6.fullmatch(text):
        return f"[{text}]:{_limits.DEFAULT_PORT}"
    return f"{text}:{_limits.DEFAULT_PORT}" if _HOST_ALONE.fullmatch(text) else text


def _checked_options(options: ChannelOptions | None) -> dict[str, str | int]:
    try:
        checked = dict(options or {})
    except (TypeError, ValueError) as error:
        raise InvalidInput("channel_options: expected a mapping, or pairs of name and value") from error
    for name, value in checked.items():
        if not isinstance(name, str) or not isinstance(value, str | int):
            raise InvalidInput(
                f"channel_options: expected names with strings or whole numbers; got {name!r}: {value!r}"
            )
    return {name: value if isinstance(value, str) else int(value) for name, value in checked.items()}


def _first_of_several(target: str) -> str | None:
    """The first address of `ipv4:…,…` or `ipv6:…,…`. gRPC would name the host by the whole list, which is not valid."""
    scheme, _, addresses = target.partition(":")
    several = scheme in ("ipv4", "ipv6") and "," in addresses
    return addresses.split(",")[0] if several else None


def service_config(retries: Retries) -> str:
    """Balancing, and gRPC's own retries: of UNAVAILABLE only, within the call's deadline and the channel's budget."""
    outliers = {
        "interval": f"{_limits.EJECTION_LOOK_SECONDS}s",
        "baseEjectionTime": f"{_limits.EJECTION_SECONDS}s",
        "maxEjectionPercent": _limits.MOST_EJECTED_PERCENT,
        "failurePercentageEjection": {
            "threshold": _limits.EJECTION_FAILURE_PERCENT,
            "enforcementPercentage": 100,
            "minimumHosts": 2,
            "requestVolume": _limits.EJECTION_LEAST_CALLS,
        },
        "childPolicy": [{"round_robin": {}}],
    }
    config: dict[str, Any] = {"loadBalancingConfig": [{"outlier_detection_experimental": outliers}]}
    if retries.attempts > 1:
        policy = {
            "maxAttempts": retries.attempts,
            "initialBackoff": f"{retries.first_backoff_seconds:.9f}s",
            "maxBackoff": f"{retries.most_backoff_seconds:.9f}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": [{}], "retryPolicy": policy}]
        config["retryThrottling"] = {"maxTokens": retries.budget, "tokenRatio": retries.budget_per_success}
    return json.dumps(config)
