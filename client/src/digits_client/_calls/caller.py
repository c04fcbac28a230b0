"""The common base of both clients: their construction, timeouts and errors."""

from collections.abc import Callable
from typing import ClassVar

import grpc

from digits_client import _limits, _settings, _shared
from digits_client._answers.labels import Labels
from digits_client._coalescing.rules import DEFAULT as DEFAULT_COALESCING
from digits_client._coalescing.rules import Coalescing
from digits_client._connection.channel import ChannelOptions, Endpoint
from digits_client._connection.connections import tracer
from digits_client._connection.environment import target_and_token
from digits_client._connection.metadata import Metadata, pairs
from digits_client._connection.pem import Pem
from digits_client._connection.token_functions import is_async
from digits_client._connection.tokens import Token
from digits_client._errors import ClientClosed, DigitsError, InvalidInput, ServerError
from digits_client._settings import Retries, Sizes


class Caller:
    """A client without its calls."""

    _awaits_tokens: ClassVar[bool]
    """Whether `token` may be an asynchronous function."""

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: float | None = _limits.TIMEOUT_SECONDS,
        coalescing: Coalescing | None = DEFAULT_COALESCING,
        retries: Retries | None = _settings.DEFAULT_RETRIES,
        sizes: Sizes = _settings.DEFAULT_SIZES,
        metadata: Metadata | None = None,
        request_id: str | None = None,
        tls: bool = False,
        root_certificates: Pem | None = None,
        certificate_chain: Pem | None = None,
        private_key: Pem | None = None,
        server_name: str | None = None,
        token: Token | None = None,
        token_in_plaintext: bool = False,
        tracing: bool = False,
        channel_options: ChannelOptions | None = None,
    ) -> None:
        """Connects at the first call; an AsyncClient belongs to the event loop that makes it.

        target              host:port, whose addresses are used in turn, or any name that gRPC resolves. None: the
                            environment variable DIGITS_TARGET, else localhost:50051; without a `token`, the client then
                            sends the token in the file that DIGITS_TOKEN_FILE names, and reads it again for each RPC
        timeout             seconds a call may take, if it has no own timeout; None: no limit
        coalescing          how calls of `predict` share RPCs; None: each has its own
        retries             when RPCs are tried again; None: never
        sizes               how large RPCs are, and how many of one batch are in flight
        metadata            names and values that every RPC carries
        request_id          1 to 64 letters, digits, '.', '_', ':' or '-': the name of this client's requests in the
                            server's log
        tls                 use TLS; implied by any certificate
        root_certificates   PEM of the authorities to trust, instead of the platform's own: its bytes, or a path
        certificate_chain   PEM of this client's certificate, for servers that ask for one: its bytes, or a path
        private_key         PEM of its key: its bytes, or a path
        server_name         the name that the server's certificate must contain, if it is not the target's
        token               sent with every RPC as a bearer token: the token, or a function that returns the current
                            one. The function is called for each RPC, in a thread of the client; its time is part of the
                            timeout. That of an AsyncClient may also be an `async` function, which runs on its event
                            loop
        token_in_plaintext  allow the token to go to another machine without TLS; otherwise that is Misused
        tracing             record OpenTelemetry spans of the RPCs; Misused without the extra `tracing`
        channel_options     options of gRPC's channel, by name, that have no parameter here; they replace the client's
                            own
        """
        if is_async(token) and not self._awaits_tokens:
            raise InvalidInput("token: an asynchronous function needs an AsyncClient")
        target, token = target_and_token(target, token)
        self._endpoint = Endpoint(
            target=target,
            tls=tls,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            server_name=server_name,
            token=token,
            token_in_plaintext=token_in_plaintext,
            metadata=pairs(metadata, request_id),
            retries=retries,
            sizes=sizes,
            options=channel_options,
        )
        self._timeout = _shared.seconds(timeout)
        self._coalescing = coalescing
        self._tracing = tracer() if tracing else None
        self._labels = Labels()
        self._on_retry: Callable[[], object] = _shared.nothing
        self._closed = False
        self._prepare()

    def _prepare(self) -> None:
        """Prepares the state of the connections."""
        raise NotImplementedError

    def _error(self, error: BaseException) -> DigitsError:
        if isinstance(error, DigitsError):
            return error
        if self._closed:
            return ClientClosed()
        return self._endpoint.failure(error) if isinstance(error, grpc.RpcError) else ServerError(f"INTERNAL: {error}")

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else _shared.seconds(timeout)
