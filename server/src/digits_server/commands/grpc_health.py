"""How `digits-server health` asks if the HTTP port is unknown: grpc.health.v1 on the gRPC port, with TLS too."""

import socket
import ssl

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from digits_server.settings import Settings


def ask_grpc(host: str, settings: Settings, seconds: float) -> str:
    """The answer of a healthy server, in a few words. Raises OSError with the reason if it is not healthy."""
    where = f"gRPC port {settings.grpc_port} of {host}"
    target = f"{f'[{host}]' if ':' in host else host}:{settings.grpc_port}"
    try:
        with _channel(host, target, settings, seconds) as channel:
            reply = HealthStub(channel).Check(HealthCheckRequest(), timeout=seconds)
    except grpc.RpcError as error:
        code = error.code().name
        why = (
            "; a server that asks for certificates of callers answers health over HTTP: give it a port with --http-port"
        )
        raise OSError(f"no answer from {where}: {code}{why if settings.tls_client_ca else ''}") from error
    if reply.status != HealthCheckResponse.SERVING:
        raise OSError(f"not ready, says {where}: it loads a model, or drains")
    return f"ready, says {where}"


def _channel(host: str, target: str, settings: Settings, seconds: float) -> grpc.Channel:
    """A channel to this machine, through no proxy.

    With TLS it trusts the server's own certificate, and sends the same one to a server that asks for a certificate.
    """
    options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    if not settings.tls_certificate or not settings.tls_key:
        return grpc.insecure_channel(target, options)
    own = settings.tls_certificate.read_bytes()
    shown, name = _shown(host, settings.grpc_port, own, seconds)
    pair = (settings.tls_key.read_bytes(), own) if settings.tls_client_ca else (None, None)
    credentials = grpc.ssl_channel_credentials(shown, *pair)
    return grpc.secure_channel(target, credentials, [*options, ("grpc.ssl_target_name_override", name)])


def _shown(host: str, port: int, own: bytes, seconds: float) -> tuple[bytes, str]:
    """The certificate that the server sends, PEM, which must be `own`, and a name in that certificate.

    Raises OSError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=own.decode("ascii", "replace"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), timeout=seconds) as connection,
        context.wrap_socket(connection) as tls,
    ):
        shown = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
        found = tls.getpeercert() or {}
    names = [str(entry[1]) for entry in found.get("subjectAltName", ())]
    return shown.encode(), (names or [host])[0].replace("*", "health")
