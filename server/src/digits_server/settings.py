"""Every limit and choice of the server, with its unit and default.

A field of `Settings` is at once a flag (`--max-batch-size`), an environment variable (`DIGITS_MAX_BATCH_SIZE`), a line
of `--help` and one of `--print-config`: `flags.py` derives them from it. No field holds a secret: secrets are read from
files, and anybody may see the paths of these files.
"""

from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from digits_server.setting_types import (
    BYTES,
    COUNT,
    DIRECTORY,
    ENDPOINT,
    FILE,
    HOST,
    HOSTS,
    PATHS,
    PORT,
    SECONDS,
    VERSION,
    WORKERS,
    Canary,
    CanaryType,
)

MODEL_NAME = "digits"
"""The model's folder below the repository, and its name in every protocol."""

RESERVED_CONNECTIONS = 16
"""HTTP connections in addition to --max-connections. When all others are in use, these accept connections and read
their requests: probes and scrapers are answered, every other request is rejected."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits of the sandbox: the process in which a model is tried first.

    memory   bytes of address space, programs and libraries included
    seconds  of wall-clock time, and of processor time
    """

    memory: int
    seconds: int


SANDBOX_LIMITS = {"litert": SandboxLimits(3 * 1024**3, 120), "keras": SandboxLimits(16 * 1024**3, 300)}
"""The limits by runtime."""


def setting(default: Any, kind: Any, text: str, *, section: str | None = None, also: tuple[str, ...] = ()) -> Any:
    """A field with its default, its click type and its line of help.

    section  starts a section of --help
    also     further environment variables with the same meaning; our own one wins
    """
    return field(default=default, metadata={"kind": kind, "help": text, "section": section, "also": also})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of one server process. Immutable; made once, at the start."""

    repository: Path = setting(Path("models"), DIRECTORY, "Model repository to serve from.", section="Model")
    model: Path | None = setting(None, FILE, "Serve this bare .keras or .h5 file instead; implies --runtime keras.")
    model_pixels: str = setting(
        "raw", click.Choice(["raw", "unit"]), "Pixels that --model expects: raw 0…255, or unit 0…1."
    )
    runtime: str = setting("litert", click.Choice(["litert", "keras"]), "Library that computes the predictions.")
    max_model_bytes: int = setting(512 * 1024 * 1024, BYTES, "Largest model version, all files together.")

    poll_interval: float = setting(
        2.0, SECONDS, "Time between two searches for new versions; 0: search once, at the start.", section="Versions"
    )
    served_versions: int = setting(2, COUNT, "How many of the newest good versions a request may name.")
    canary: Canary | None = setting(
        None, CanaryType(), "Send a share of the requests without a version to this one: 5=10%."
    )
    shadow: int | None = setting(
        None, VERSION, "Version that scores copies of live batches; callers never get its answers."
    )
    require_signature: Path | None = setting(
        None, FILE, "Ed25519 public keys (PEM): serve only versions signed with one of them."
    )

    host: str = setting("127.0.0.1", HOST, "Address to listen on, for gRPC and HTTP.", section="Network")
    grpc_port: int = setting(50051, PORT, "Port for gRPC; 0 takes a free one.")
    http_port: int = setting(8080, PORT, "Port for metrics and health over HTTP; 0 takes a free one.")
    transport: str = setting(
        "auto",
        click.Choice(["auto", "native", "grpcio"]),
        "Library that receives RPCs; auto: native on loopback without TLS, else grpcio.",
    )
    workers: int = setting(1, WORKERS, "Processes that share the ports; the limits below hold for each process.")
    worker_timeout: float = setting(
        10.0, SECONDS, "With several workers: replace one that has not answered for so long."
    )
    reflection: bool = setting(True, bool, "Answer gRPC server reflection.")
    page: bool = setting(True, bool, "Serve a page to draw digits on at / over HTTP.")
    max_connections: int = setting(256, COUNT, "HTTP connections at once; 16 more are kept for probes and scrapers.")
    max_grpc_connections: int = setting(1024, COUNT, "gRPC connections at once; further ones are closed.")
    max_connection_idle: float = setting(
        300.0, SECONDS, "Close a gRPC connection that had no call for so long; 0: never."
    )
    max_connection_age: float = setting(
        0.0, SECONDS, "End a gRPC connection at this age, so that callers reconnect elsewhere; 0: never."
    )

    tls_certificate: Path | None = setting(
        None, FILE, "Certificate chain of the server, PEM: turns on TLS on the gRPC port.", section="Security"
    )
    tls_key: Path | None = setting(None, FILE, "Private key of --tls-certificate, PEM.")
    tls_client_ca: Path | None = setting(
        None, FILE, "Mutual TLS: accept only callers whose certificate one of these authorities signed, PEM."
    )
    http_tls: bool = setting(
        False, bool, "Use TLS on the HTTP port too, with the same certificate, without mutual TLS."
    )
    tokens: Path | None = setting(None, FILE, "Bearer tokens of callers, one per line; for gRPC and HTTP.")
    metrics_tokens: Path | None = setting(None, FILE, "Bearer tokens that may read /metrics, instead of --tokens.")
    http_open: str = setting(
        "/healthz,/readyz,/v2/health/*", PATHS, "HTTP paths that need no token; a * at the end matches any rest."
    )

    http_hosts: str = setting("", HOSTS, "Further host names that HTTP requests to a loopback --host may use.")

    max_message_bytes: int = setting(
        4 * 1024 * 1024, BYTES, "Largest request message, or body of an HTTP request.", section="Requests"
    )
    max_unfinished_bytes: int = setting(
        192 * 1024 * 1024,
        BYTES,
        "Messages that are arriving: each stream, or call over grpcio, counts with the largest.",
    )
    max_image_files: int = setting(64, COUNT, "Image files in one request.")
    max_image_pixels: int = setting(16_777_216, COUNT, "Pixels of one image file, width × height.")
    max_request_pixels: int = setting(268_435_456, COUNT, "Pixels of all image files in one request.")
    http_timeout: float = setting(30.0, SECONDS, "Time from the headers of an HTTP request to its prediction.")
    max_streams: int = setting(2048, COUNT, "Streams of one RPC open at once; further ones are rejected.")
    max_connection_streams: int = setting(64, COUNT, "Streams of one connection; further ones are rejected.")
    max_stream_window: int = setting(16, COUNT, "Requests of one stream in work at once.")
    max_stream_bytes: int = setting(
        64 * 1024 * 1024, BYTES, "Requests that streams have read and not answered; beyond half, no stream reads ahead."
    )

    max_batch_size: int = setting(1024, COUNT, "Most images in one run of the model.", section="Queues")
    max_queue_size: int = setting(
        65536, COUNT, "Images waiting for the model; one connection may have as many as it leaves free."
    )
    max_calls: int = setting(2048, COUNT, "Calls waiting for the server; one connection may have a quarter.")
    max_waiting_bytes: int = setting(
        32 * 1024 * 1024, BYTES, "Messages waiting to be parsed, all together; further ones are rejected."
    )
    max_waiting_files: int = setting(256, COUNT, "Image files waiting to be decoded; further ones are rejected.")
    max_waiting_file_bytes: int = setting(64 * 1024 * 1024, BYTES, "Bytes of these files; further ones are rejected.")
    shutdown_grace: float = setting(25.0, SECONDS, "Time for requests in flight to finish after SIGTERM.")

    log_level: str = setting(
        "info", click.Choice(["debug", "info", "warning", "error"]), "Lowest level that is logged.", section="Logs"
    )
    access_log: bool = setting(False, bool, "Log one line for each call and HTTP request, with its id.")
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
