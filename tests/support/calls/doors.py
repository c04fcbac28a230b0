"""A server with every way in for requests that fail, and how many failures each of its series has counted."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.calls.rpc import refusal
from support.servers.process import ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, PREDICT, Http2
from support.wire.raw_http import ask, connect, request

FAMILIES = {
    "grpc_server_handled_total": ("grpc_method", "grpc_code"),
    "digits_rejected_total": ("reason",),
    "digits_http_requests_total": ("route", "status"),
    "digits_grpc_refused_total": ("reason",),
}
TOKEN = "a-token-of-a-caller-4dAq1"  # noqa: S105 - known to tests only
Metadata = tuple[tuple[str, str], ...]
KNOWN = ("authorization", f"Bearer {TOKEN}")
BEARER = f"authorization: Bearer {TOKEN}"
SENT = "waiting"
"""The file that the server makes when an image file waits to be decoded."""


def picture() -> bytes:
    page, file = Image.new("L", (50, 50), 255), BytesIO()
    ImageDraw.Draw(page).line((25, 10, 25, 40), fill=0, width=5)
    page.save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Doors:
    """A server that fails as files in `folder` say."""

    server: ServerProcess
    folder: Path

    def grpc(
        self, message: bytes, *, path: str = PREDICT, seconds: float = 30.0, metadata: Metadata = (KNOWN,)
    ) -> None:
        """One call with this message, which fails."""
        with self.server.channel() as channel:
            raw: Callable[..., bytes] = channel.unary_unary(path)
            refusal(lambda: raw(message, timeout=seconds, metadata=metadata))

    def stream(self, *messages: PredictRequest, seconds: float = 30.0) -> None:
        with self.server.channel() as channel:
            stub = PredictionServiceStub(channel)
            refusal(lambda: list(stub.PredictStream(iter(messages), timeout=seconds, metadata=(KNOWN,))))

    def leave_call(self, data: bytes, *, end: bool) -> None:
        """A caller sends this over gRPC and cancels the call when the server has it."""
        with Http2(self.server.target) as caller:
            stream = caller.begin(PREDICT, GRPC | dict([KNOWN]))
            caller.send(stream, data, end=end)
            caller.ping()
            if end:
                until((self.folder / SENT).exists, "the server works on the call")
            caller.reset(stream)
            caller.ping()

    def http(self, method: str, path: str, body: bytes = b"", *headers: str) -> None:
        ask(self.server, request(method, path, BEARER, *headers, body=body), method)

    def raw(self, sent: bytes, *, answered: bool = True) -> None:
        """A caller sends these bytes over HTTP, and stays for the answer or leaves."""
        if answered:
            ask(self.server, sent)
            return
        with connect(self.server) as caller:
            caller.sendall(sent)
            if (self.folder / "slow").exists():
                until((self.folder / SENT).exists, "the server works on the request")

    def failures(self) -> dict[tuple[str, ...], float]:
        """How many failures each series has counted."""
        found: dict[tuple[str, ...], float] = {}
        for (family, labels), value in self.server.samples().items():
            known = tuple(dict(labels)[name] for name in FAMILIES.get(family, ()))
            if known and known[-1] not in ("OK", "200"):
                found[family, *known] = value
        return found


Failure = Callable[[Doors], None]
Moved = set[tuple[str, ...]]


def rpc(code: str, reason: str, method: str = "Predict") -> Moved:
    return {("grpc_server_handled_total", method, code), ("digits_rejected_total", reason)}


def web(route: str, status: int, reason: str) -> Moved:
    return {("digits_http_requests_total", route, str(status)), ("digits_rejected_total", reason)}


def moves_exactly(doors: Doors, failure: Failure, broken_by: str, expected: Moved) -> None:
    """Fails unless the failure adds one to each of the expected series, and nothing to any other."""
    before = doors.failures()
    marker = doors.folder / (broken_by or "nothing")
    marker.touch()
    try:
        failure(doors)
    finally:
        marker.unlink()
        (doors.folder / SENT).unlink(missing_ok=True)

    def moved() -> dict[tuple[str, ...], float]:
        now = doors.failures()
        return {series: now[series] - before.get(series, 0) for series in now if now[series] != before.get(series, 0)}

    try:
        until(lambda: len(moved()) >= len(expected), "the failure is counted", seconds=10)
    finally:
        assert moved() == dict.fromkeys(expected, 1)
