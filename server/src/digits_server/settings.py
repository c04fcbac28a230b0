"""Every limit and choice of the server, with its unit and default.

A field of `Settings` is at once a flag (`--max-batch-size`), an environment variable (`DIGITS_MAX_BATCH_SIZE`) and a
line of `--help`. Flags win over the environment, the environment over the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click

MODEL_NAME = "digits"
"""The model's folder below the repository, and its name in every protocol."""

ENVIRONMENT_PREFIX = "DIGITS"

PORT = click.IntRange(0, 65535)
COUNT = click.IntRange(min=1)
SECONDS = click.FloatRange(min=0)


def setting(default: Any, kind: Any, text: str) -> Any:
    """A field with its default, its click type and its line of help."""
    return field(default=default, metadata={"kind": kind, "help": text})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one server process was told. Immutable; made once, at start."""

    # What to serve
    repository: Path = setting(Path("models"), click.Path(path_type=Path), "Model repository to serve from (folder).")
    model: Path | None = setting(
        None, click.Path(path_type=Path), "Serve this bare Keras file (.keras, .h5) instead; implies --runtime keras."
    )
    model_pixels: str = setting(
        "raw", click.Choice(["raw", "unit"]), "What the file of --model takes: raw 0…255 pixels, or unit 0…1."
    )
    runtime: str = setting("litert", click.Choice(["litert", "keras"]), "What computes the predictions.")

    # Where to listen
    transport: str = setting("grpcio", click.Choice(["grpcio", "envoy"]), "What carries the RPCs.")
    host: str = setting("127.0.0.1", str, "Address to listen on, for gRPC and HTTP.")
    grpc_port: int = setting(50051, PORT, "Port for gRPC; 0 takes a free one.")
    http_port: int = setting(8080, PORT, "Port for metrics and health over HTTP; 0 takes a free one.")
    reflection: bool = setting(True, bool, "Answer gRPC server reflection.")

    # How much to take
    max_batch_size: int = setting(1024, COUNT, "Images the model sees at once.")
    max_queue_size: int = setting(32768, COUNT, "Images that may wait for the model; more is refused.")
    max_message_bytes: int = setting(4 * 1024 * 1024, COUNT, "Bytes of one request message.")
    max_image_files: int = setting(64, COUNT, "Image files in one request.")
    max_waiting_files: int = setting(256, COUNT, "Image files that may wait to be decoded; more is refused.")
    max_image_pixels: int = setting(16_777_216, COUNT, "Pixels of one image file, width × height.")
    max_stream_window: int = setting(16, COUNT, "Requests of one stream that may be in work at once.")
    max_connections: int = setting(256, COUNT, "HTTP connections at once.")
    max_model_bytes: int = setting(512 * 1024 * 1024, COUNT, "Bytes of one model version, all files together.")

    # How long to wait
    shutdown_grace: float = setting(25.0, SECONDS, "Seconds that requests in flight have to finish after SIGTERM.")

    # What to say
    log_level: str = setting("info", click.Choice(["debug", "info", "warning", "error"]), "Least level logged.")
    log_format: str = setting(
        "auto", click.Choice(["auto", "text", "json"]), "Log lines; auto: text on a terminal, JSON elsewhere."
    )

    def environment(self) -> dict[str, str]:
        """The environment variables that say the same."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {_variable(name): str(value) for name, value in values.items() if value is not None}


def from_environment() -> Settings:
    """The settings of the environment variables, without any flag."""
    return Settings(**click.Command("digits-server", params=list(options())).make_context("digits-server", []).params)


def options() -> list[click.Option]:
    """The flags of `digits-server`, one for each field of `Settings`."""
    return [_option(item.name, item.default, item.metadata) for item in fields(Settings)]


def _option(name: str, default: Any, metadata: Mapping[str, Any]) -> click.Option:
    flag = name.replace("_", "-")
    return click.Option(
        [f"--{flag}/--no-{flag}" if metadata["kind"] is bool else f"--{flag}"],
        type=metadata["kind"],
        default=default,
        envvar=_variable(name),
        help=metadata["help"],
        show_default=default is not None,
    )


def _variable(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}_{name.upper()}"
