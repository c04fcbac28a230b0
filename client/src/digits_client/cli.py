"""`digits`: the client on the command line.

    digits predict FILE…    the digit in each image file
    digits info             which model is served
    digits health           whether the server answers predictions
    digits bench            how fast the server answers

Exit codes: 0 done (health: serving); 1 failed, with the reason in one line each (predict: some file failed, the others
are printed; health: not serving; bench: no call was answered); 2 wrong usage; 130 interrupted.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToJson

from digits_client import AsyncClient, Client, Coalescing, DigitsError, Prediction
from digits_client._command.bench import MOST_RATE, PERCENTILES, Load, Run, measure
from digits_client._command.described import described
from digits_client._command.files import expanded, predictions
from digits_client._limits import PROGRESS_FILES, TIMEOUT_SECONDS

EXIT_CODES = (
    "Exit codes: 0 done (health: serving); 1 failed (predict: some file failed; health: not serving; "
    "bench: no call was answered); 2 wrong usage; 130 interrupted."
)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except DigitsError as error:
        print(f"digits: {error}", file=sys.stderr)
    except BrokenPipeError:  # the program that read the output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        what = f"cannot read {error.filename}" if error.filename else "cannot write the output"
        print(f"digits: {what}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def predict(chosen: argparse.Namespace) -> int:
    names = expanded(chosen.files)
    width = max(len(name) for name in names)
    # On a terminal the table itself shows the progress.
    progress = len(names) >= PROGRESS_FILES and sys.stderr.isatty() and not sys.stdout.isatty()
    failed = 0
    with Client(chosen.target, **_connection(chosen)) as client:
        answers = predictions(
            client, names, probabilities=chosen.json, unlike=chosen.unlike, model_version=chosen.model_version
        )
        for done, (name, answer) in enumerate(answers, 1):
            if isinstance(answer, DigitsError):
                failed += 1
                named = str(answer).startswith(f"cannot read {name}")
                print(f"digits: {answer}" if named else f"digits: {name}: {answer}", file=sys.stderr)
            else:
                print(_as_json(name, answer) if chosen.json else f"{name:{width}}  {_as_text(answer)}")
            if progress and (done % PROGRESS_FILES == 0 or done == len(names)):
                end = "\n" if done == len(names) else "\r"
                print(f"{done:,} of {len(names):,} files", end=end, file=sys.stderr, flush=True)
        sys.stdout.flush()
    return 1 if failed else 0


def info(chosen: argparse.Namespace) -> int:
    with Client(chosen.target, **_connection(chosen)) as client:
        model = client.model()
    if chosen.json:
        print(MessageToJson(model.message, indent=None))
        return 0
    for name, value in described(model.message):
        print(f"{name:9} {value}")
    return 0


def health(chosen: argparse.Namespace) -> int:
    with Client(chosen.target, **_connection(chosen)) as client:
        serving = client.health()
    print("serving" if serving else "not serving")
    return 0 if serving else 1


def bench(chosen: argparse.Namespace) -> int:
    load = Load(seconds=chosen.seconds, in_flight=chosen.in_flight, rate=chosen.rate, images_per_call=chosen.images)

    async def measured() -> Run:
        coalescing = None if chosen.no_coalescing else Coalescing(max_waiting=None)
        async with AsyncClient(chosen.target, coalescing=coalescing, **_connection(chosen)) as client:
            return await measure(client, load)

    run = asyncio.run(measured())
    if shortfall := run.shortfall():
        print(f"digits: {shortfall}", file=sys.stderr)
    if chosen.json:
        print(json.dumps(_figures(run)))
    else:
        for name, value in _figures(run).items():
            print(f"{name:20}  {value:,}" if not isinstance(value, dict) else f"{name:20}  {_listed(value)}")
    return 0 if run.latencies else 1


def _figures(run: Run) -> dict[str, Any]:
    latency = {f"p{percent:g}": round(1000 * run.percentile(percent), 3) for percent in PERCENTILES}
    return {
        "seconds": round(run.seconds, 3),
        "calls": len(run.latencies),
        "calls_per_second": round(run.calls_per_second, 1),
        "images_per_second": round(run.images_per_second, 1),
        "latency_milliseconds": latency | {"max": round(1000 * run.percentile(100), 3)} if run.latencies else {},
        "errors": dict(run.errors) | ({"NotSent": run.late + run.unsent} if run.late + run.unsent else {}),
    }


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in values.items()) or "none"


def _as_text(answer: Prediction) -> str:
    score = "" if answer.unlike is None else f"  unlike {answer.unlike:5.2f}"
    return f"{answer.digit}  {answer.confidence:6.1%}{score}"


def _as_json(name: str, answer: Prediction) -> str:
    rows = [] if answer.probabilities is None else [round(float(value), 6) for value in answer.probabilities]
    fields = {
        "file": name,
        "digit": answer.digit,
        "confidence": round(answer.confidence, 6),
        "probabilities": rows,
        "model_version": answer.model_version,
    }
    return json.dumps(fields if answer.unlike is None else fields | {"unlike": round(answer.unlike, 6)})


def _connection(chosen: argparse.Namespace) -> dict[str, Any]:
    """The arguments of both clients, from the options that all commands share."""
    return {
        "timeout": chosen.timeout,
        "tls": chosen.tls,
        "root_certificates": _read(chosen.root_certificates),
        "certificate_chain": _read(chosen.certificate_chain),
        "private_key": _read(chosen.private_key),
        "server_name": chosen.server_name,
        "token": chosen.token_file.read_text("ascii", "replace") if chosen.token_file else None,
        "token_in_plaintext": chosen.token_in_plaintext,
    }


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return value


def _rate(text: str) -> float:
    if (value := _positive(text)) > MOST_RATE:
        raise argparse.ArgumentTypeError(f"expected at most {MOST_RATE:,} calls a second, got {text}")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def _parser() -> argparse.ArgumentParser:
    common = _common()
    parser = argparse.ArgumentParser(
        prog="digits", description="Recognise handwritten digits with a Digits server.", epilog=EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"digits {version('digits-client')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("predict", parents=[common], help="the digit in each image file")
    command.add_argument("files", nargs="+", metavar="FILE", help="a picture file, a pattern (*, ?, **), or -")
    command.add_argument("--json", action="store_true", help="one JSON object a line, with all probabilities")
    command.add_argument(
        "--unlike", action="store_true", help="also how unlike the training images each is: above 1, no digit"
    )
    command.add_argument("--model-version", type=int, default=0, metavar="N", help="the version that must answer")
    command.set_defaults(command=predict)
    command = commands.add_parser("info", parents=[common], help="which model is served")
    command.add_argument("--json", action="store_true", help="the whole answer as one JSON object")
    command.set_defaults(command=info)
    commands.add_parser("health", parents=[common], help="exit 0 if the server answers").set_defaults(command=health)
    command = commands.add_parser("bench", parents=[common], help="how fast the server answers")
    command.add_argument("--seconds", type=_positive, default=5.0, help="how long to call (%(default)g)")
    command.add_argument("--in-flight", type=_count, default=64, metavar="N", help="calls at once (%(default)d)")
    command.add_argument("--rate", type=_rate, metavar="N", help="calls a second instead, answered or not")
    command.add_argument("--images", type=_count, default=1, metavar="N", help="images a call (%(default)d)")
    command.add_argument("--no-coalescing", action="store_true", help="an RPC for each call")
    command.add_argument("--json", action="store_true", help="the figures as one JSON object")
    command.set_defaults(command=bench)
    return parser


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    target = os.environ.get("DIGITS_TARGET") or "localhost:50051"
    common.add_argument("--target", default=target, help="host:port of the server (DIGITS_TARGET; %(default)s)")
    common.add_argument(
        "--timeout", type=_positive, default=TIMEOUT_SECONDS, help="seconds for each call (%(default)g)"
    )
    common.add_argument("--tls", action="store_true", help="use TLS")
    common.add_argument("--root-certificates", type=Path, metavar="PEM", help="trust these authorities; implies --tls")
    common.add_argument(
        "--certificate-chain", type=Path, metavar="PEM", help="this client's certificate; implies --tls"
    )
    common.add_argument("--private-key", type=Path, metavar="PEM", help="its key")
    common.add_argument(
        "--server-name", metavar="NAME", help="the name in the server's certificate, if not the target's"
    )
    token_file = os.environ.get("DIGITS_TOKEN_FILE") or None
    common.add_argument(
        "--token-file", type=Path, default=token_file, metavar="FILE", help="a bearer token (DIGITS_TOKEN_FILE)"
    )
    common.add_argument("--token-in-plaintext", action="store_true", help="send it to another machine without TLS")
    return common


if __name__ == "__main__":
    main()
