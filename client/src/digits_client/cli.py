"""`digits`: the client on the command line.

    digits predict FILE…    the digit in each image file
    digits info             which model is served
    digits health           whether the server answers predictions

Exit codes: 0 done (health: serving), 1 failed (health: not serving), with the reason in one line, 2 wrong usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from digits.v1.prediction_pb2 import ModelVersionStatus
from digits_client import Client, DigitsError, Prediction
from digits_client._limits import TIMEOUT_SECONDS


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    chosen = _parser().parse_args(arguments)
    roots = chosen.root_certificates
    try:
        certificates = roots.read_bytes() if roots else None
        with Client(
            chosen.target,
            timeout=chosen.timeout,
            tls=chosen.tls,
            root_certificates=certificates,
            server_name=chosen.server_name,
        ) as client:
            return int(chosen.command(client, chosen))
    except DigitsError as error:
        print(f"digits: {error}", file=sys.stderr)
    except OSError as error:
        print(f"digits: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


def predict(client: Client, chosen: argparse.Namespace) -> int:
    predictions = client.predict_batch(chosen.files, probabilities=chosen.json)
    width = max(len(name) for name in chosen.files)
    for name, answer in zip(chosen.files, predictions, strict=True):
        print(_as_json(name, answer) if chosen.json else f"{name:{width}}  {answer.digit}  {answer.confidence:6.1%}")
    return 0


def info(client: Client, _: argparse.Namespace) -> int:
    model = client.model()
    manifest = model.manifest
    print(f"model     {manifest.model_name}, version {manifest.model_version}, {manifest.training.network}")
    print(f"runtime   {model.runtime}")
    print(f"accuracy  {manifest.metrics.test_accuracy:.4f} on {manifest.metrics.test_images:,} test images")
    for item in model.versions:
        state = ModelVersionStatus.State.Name(item.state)
        print(f"version   {item.version}  {state}{f': {item.reason}' if item.reason else ''}")
    return 0


def health(client: Client, _: argparse.Namespace) -> int:
    serving = client.health()
    print("serving" if serving else "not serving")
    return 0 if serving else 1


def _as_json(name: str, answer: Prediction) -> str:
    rows = [] if answer.probabilities is None else [round(float(value), 6) for value in answer.probabilities]
    return json.dumps(
        {
            "file": name,
            "digit": answer.digit,
            "confidence": round(answer.confidence, 6),
            "probabilities": rows,
            "model_version": answer.model_version,
        }
    )


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    target = os.environ.get("DIGITS_TARGET", "localhost:50051")
    common.add_argument("--target", default=target, help="host:port of the server (DIGITS_TARGET; %(default)s)")
    common.add_argument("--timeout", type=float, default=TIMEOUT_SECONDS, help="seconds for each call (%(default)g)")
    common.add_argument("--tls", action="store_true", help="use TLS")
    common.add_argument("--root-certificates", type=Path, metavar="PEM", help="trust these authorities; implies --tls")
    common.add_argument(
        "--server-name", metavar="NAME", help="the name in the server's certificate, if not the target's"
    )
    parser = argparse.ArgumentParser(
        prog="digits",
        description="Recognise handwritten digits with a Digits server.",
        epilog="Exit codes: 0 done (health: serving), 1 failed (health: not serving), 2 wrong usage.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("predict", parents=[common], help="the digit in each image file")
    command.add_argument("files", nargs="+", metavar="FILE", help="a PNG or JPEG")
    command.add_argument("--json", action="store_true", help="one JSON object a line, with all probabilities")
    command.set_defaults(command=predict)
    commands.add_parser("info", parents=[common], help="which model is served").set_defaults(command=info)
    commands.add_parser("health", parents=[common], help="exit 0 if the server answers").set_defaults(command=health)
    return parser


if __name__ == "__main__":
    main()
