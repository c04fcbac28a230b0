"""Every limit and choice of the server, with its unit and default.

A field of `Settings` is at once a flag (`--max-batch-size`), an environment variable (`DIGITS_MAX_BATCH_SIZE`), a line
of `--help` and one of `--print-config`: `flags.py` makes them of it. No field holds a secret: those are read from
files, whose paths may be shown to anybody.
"""

from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

MODEL_NAME = "digits"
"""The model's folder below the repository, and its name in every protocol."""

RESERVED_CONNECTIONS = 16
"""HTTP connections beside --max-connections. When all others are busy, connections are accepted here to be asked what
they want: probes and scrapers are answered, everybody else is rejected."""


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """What the process in which a model is proved may take.

    memory   bytes of address space, its programs among them
    seconds  of the clock, and of the processor
    """

    memory: int
    seconds: int


PROOF_LIMITS = {"litert": ProofLimits(3 * 1024**3, 120), "keras": ProofLimits(16 * 1024**3, 300)}
"""By runtime."""

Kind = TypeVar("Kind", bound="click.ParamType[Any]")


def named(name: str, kind: Kind) -> Kind:
    """A type of settings, and what --help calls its values."""
    kind.name = name
    return kind


class UnseenPath(click.Path):
    """A path that nobody looks at yet. click's own type asks for its status, for which a volume may let it wait."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ARG002
        return Path(value)


DIRECTORY = named("dir", UnseenPath())
FILE = named("file", UnseenPath())


class Host(click.ParamType[str]):
    """A name, or an address of either family; that of IPv6 may have the brackets it has in a URL."""

    name = "host"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        host = value.strip()
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not host:
            self.fail(
                "expected a name or an address; :: is every address of this machine, of both families", param, ctx
            )
        return host


HOST = Host()
PATHS = named("paths", click.types.StringParamType())
HOSTS = named("names", click.types.StringParamType())
PORT = named("port", click.IntRange(0, 65535))
COUNT = named("n", click.IntRange(min=1))
VERSION = named("n", click.IntRange(min=1))
WORKERS = named("n", click.IntRange(1, 64))
BYTES = named("bytes", click.IntRange(min=1))
SECONDS = named("seconds", click.FloatRange(min=0))


class Endpoint(click.ParamType[str]):
    """A URL with a scheme, a host and perhaps a port. No password: it would be shown with the other settings."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            self.fail("expected http://host:port or https://host:port", param, ctx)
        if "@" in url.netloc:
            self.fail("expected no user or password; OTEL_EXPORTER_OTLP_HEADERS takes credentials", param, ctx)
        return value


ENDPOINT = Endpoint()


@dataclass(frozen=True, slots=True)
class Canary:
    """The version, and its share of the requests that name none, from 0 to 1."""

    version: int
    share: float

    def __str__(self) -> str:
        return f"{self.version}={100 * self.share:g}%"


class CanaryType(click.ParamType[Canary]):
    """`N=5%`: a version and its share."""

    name = "n=x%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Canary:
        if isinstance(value, Canary):
            return value
        version, _, share = str(value).partition("=")
        try:
            canary = Canary(int(version), float(share.removesuffix("%")) / 100)
        except ValueError:
            canary = Canary(0, 0.0)
        if not share.endswith("%") or canary.version < 1 or not 0 < canary.share <= 1:
            self.fail(f"{value!r} is not a version and its share, such as 5=10%.", param, ctx)
        return canary


def setting(default: Any, kind: Any, text: str, *, section: str | None = None, also: tuple[str, ...] = ()) -> Any:
    """A field with its default, its click type and its line of help.

    section  starts a section of --help
    also     names of environment variables that say the same, after our own
    """
    return field(default=default, metadata={"kind": kind, "help": text, "section": section, "also": also})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one server process was told. Immutable; made once, at start."""

    repository: Path = setting(Path("models"), DIRECTORY, "Model repository to serve from.", section="Model")
    model: Path | None = setting(None, FILE, "Serve this bare .keras or .h5 file instead; implies --runtime keras.")
    model_pixels: str = setting("raw", click.Choice(["raw", "unit"]), "What --model takes: raw 0…255, or unit 0…1.")
    runtime: str = setting("litert", click.Choice(["litert", "keras"]), "What computes the predictions.")
    max_model_bytes: int = setting(512 * 1024 * 1024, BYTES, "One model version, all files together.")

    poll_interval: float = setting(
        2.0, SECONDS, "Between two looks for new versions; 0: look once, at the start.", section="Versions"
    )
    served_versions: int = setting(2, COUNT, "Newest good versions that a request may name.")
    canary: Canary | None = setting(
        None, CanaryType(), "Share of the requests that name no version to send to one: 5=10%."
    )
    shadow: int | None = setting(None, VERSION, "Version that scores copies of live batches, and answers nobody.")
    require_signature: Path | None = setting(
        None, FILE, "Ed25519 public keys (PEM): refuse versions they did not sign."
    )

    host: str = setting("127.0.0.1", HOST, "Address to listen on, for gRPC and HTTP.", section="Network")
    grpc_port: int = setting(50051, PORT, "Port for gRPC; 0 takes a free one.")
    http_port: int = setting(8080, PORT, "Port for metrics and health over HTTP; 0 takes a free one.")
    transport: str = setting(
        "auto",
        click.Choice(["auto", "native", "grpcio"]),
        "What carries the RPCs; auto: native for this machine alone.",
    )
    workers: int = setting(1, WORKERS, "Processes that share the ports; each has the limits below to itself.")
    worker_timeout: float = setting(10.0, SECONDS, "What one of several workers has to answer before it is replaced.")
    reflection: bool = setting(True, bool, "Answer gRPC server reflection.")
    page: bool = setting(True, bool, "Answer / over HTTP with a page to draw digits on.")
    max_connections: int = setting(256, COUNT, "HTTP connections at once; 16 more are kept for probes and scrapers.")
    max_grpc_connections: int = setting(1024, COUNT, "gRPC connections at once; further ones are closed.")
    max_connection_idle: float = setting(300.0, SECONDS, "A gRPC connection without a call is closed then; 0: never.")
    max_connection_age: float = setting(
        0.0, SECONDS, "A gRPC connection takes no further call then, so that callers spread anew; 0: never."
    )

    tls_certificate: Path | None = setting(
        None, FILE, "TLS on the gRPC port: the server's certificate chain, PEM.", section="Security"
    )
    tls_key: Path | None = setting(None, FILE, "The private key of --tls-certificate, PEM.")
    tls_client_ca: Path | None = setting(
        None, FILE, "Mutual TLS: authorities that sign the certificates of callers, PEM. Nobody else is taken."
    )
    http_tls: bool = setting(False, bool, "TLS on the HTTP port too, with the same certificate; no mutual TLS there.")
    tokens: Path | None = setting(None, FILE, "Bearer tokens of those who may call, one a line; for gRPC and HTTP.")
    metrics_tokens: Path | None = setting(None, FILE, "Bearer tokens of those who may read /metrics, instead.")
    http_open: str = setting(
        "/healthz,/readyz,/v2/health/*", PATHS, "HTTP paths that take no token; * at an end: all that begin so."
    )

    http_hosts: str = setting(
        "", HOSTS, "Names, beside this machine's, that HTTP requests to a loopback --host may be sent to."
    )

    max_message_bytes: int = setting(
        4 * 1024 * 1024, BYTES, "One request message or the body of an HTTP request.", section="Requests"
    )
    max_image_files: int = setting(64, COUNT, "Image files in one request.")
    max_image_pixels: int = setting(16_777_216, COUNT, "Pixels of one image file, width × height.")
    max_request_pixels: int = setting(268_435_456, COUNT, "Pixels of all image files in one request.")
    http_timeout: float = setting(30.0, SECONDS, "From an HTTP request's headers to its prediction.")
    max_streams: int = setting(2048, COUNT, "Streams of one RPC open at once; more is refused.")
    max_connection_streams: int = setting(64, COUNT, "Those of one connection; more is refused.")
    max_stream_window: int = setting(16, COUNT, "Requests of one stream that may be in work at once.")
    max_stream_bytes: int = setting(
        64 * 1024 * 1024, BYTES, "Requests that streams have read and not answered; beyond half, none reads ahead."
    )

    max_batch_size: int = setting(1024, COUNT, "Images the model sees at once.", section="Queues")
    max_queue_size: int = setting(
        65536, COUNT, "Images that may wait for the model; one connection's at most what it leaves free."
    )
    max_calls: int = setting(2048, COUNT, "Calls that may wait to be taken; one connection may have a quarter.")
    max_waiting_bytes: int = setting(
        32 * 1024 * 1024, BYTES, "Messages that may wait to be read, all together; more is refused."
    )
    max_waiting_files: int = setting(256, COUNT, "Image files that may wait to be decoded; more is refused.")
    max_waiting_file_bytes: int = setting(64 * 1024 * 1024, BYTES, "Their bytes; more is refused.")
    shutdown_grace: float = setting(25.0, SECONDS, "What requests in flight have to finish after SIGTERM.")

    log_level: str = setting(
        "info", click.Choice(["debug", "info", "warning", "error"]), "Least level logged.", section="Logs"
    )
    access_log: bool = setting(False, bool, "Log a line for each call and HTTP request, with its id.")
    log_format: str = setting(
        "auto", click.Choice(["auto", "text", "json"]), "Log lines; auto: text on a terminal, JSON elsewhere."
    )

    tracing_endpoint: str | None = setting(
        None,
        ENDPOINT,
        "Send traces to this collector, by OTLP over gRPC: http://host:4317.",
        section="Traces",
        also=("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )


def setting_of(name: str) -> "Field[Any]":
    """The field of `Settings` with this name."""
    return next(item for item in fields(Settings) if item.name == name)
