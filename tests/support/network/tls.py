"""Callers over TLS, and certificates as a server shows them."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.calls.rpc import DEADLINE
from support.network.certificates import NAME, Authority, Folder, Pair
from support.servers.process import ServerProcess
from support.waiting import until
from support.wire.http2 import DEADLINE as SOCKET_SECONDS


@contextmanager
def calling(
    server: ServerProcess, trusted: Authority, identity: Pair | None = None
) -> Iterator[Callable[[], PredictResponse]]:
    """A caller with its own connection that trusts one authority."""
    own = (identity.key, identity.certificate) if identity else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.certificate, *own)
    options = [("grpc.ssl_target_name_override", NAME), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(server.target, credentials, options) as channel:
        stub = PredictionServiceStub(channel)
        yield lambda: stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)


def shown_by(server: ServerProcess) -> str:
    """The server's own certificate, as PEM."""
    host, _, port = server.target.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=SOCKET_SECONDS)


def leaf(pair: Pair) -> str:
    """The same of a pair of files."""
    end = "-----END CERTIFICATE-----\n"
    return pair.certificate.decode().partition(end)[0] + end


@contextmanager
def handshake(server: ServerProcess, version: ssl.TLSVersion) -> Iterator[ssl.SSLSocket]:
    """A connection in exactly this version of TLS, by a caller that accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # otherwise this side itself would refuse the old versions
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1", "h2"])
    host, _, port = server.target.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=SOCKET_SECONDS) as plain,
        context.wrap_socket(plain) as connection,
    ):
        yield connection


def answered(server: ServerProcess, trusted: Authority, identity: Pair | None = None) -> bool:
    """Whether a new caller that trusts this authority is answered."""
    with calling(server, trusted, identity) as call:
        try:
            return len(call().digits) == 1
        except grpc.RpcError:
            return False


def replace(path: Path, content: bytes) -> None:
    """Writes a file in one move."""
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def put_back(server: ServerProcess, authority: Authority, folder: Folder) -> None:
    pair = authority.sign()
    folder.put(pair)
    until(lambda: shown_by(server) == leaf(pair), "the usual certificate is back")
