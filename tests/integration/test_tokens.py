"""Bearer tokens: callers without one are not answered, over gRPC or HTTP; tokens change while the server runs."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.calls.rpc import DEADLINE, raw_call, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess, run_server
from support.waiting import until

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

TOKEN = "a-token-of-a-caller-4dAq1"  # noqa: S105 - known to tests only
SECOND = "another-token-of-a-caller-9fKz"
SCRAPER = "a-token-of-a-scraper-77bX"
REQUEST = PredictRequest(images=bytes(784))


@pytest.fixture(scope="module")
def tokens(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of callers' tokens. Tests that change it put it back."""
    path = tmp_path_factory.mktemp(f"tokens-{transport}") / "tokens"
    path.write_text(f"# those who may call\n{TOKEN}\n\n")
    return path


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, tokens: Path) -> Iterator[ServerProcess]:  # noqa: ARG001
    flags: list[str | Path] = [
        "--tokens",
        tokens,
        "--metrics-tokens",
        tokens.with_name("scrapers"),
        "--log-level",
        "debug",
    ]
    tokens.with_name("scrapers").write_text(SCRAPER)
    with ServerProcess("--repository", repository, *flags, "--log-level", "debug", "--access-log") as running:
        yield running.wait_ready()


@pytest.fixture
def stub(server: ServerProcess) -> Iterator[PredictionServiceStub]:
    with server.channel() as channel:
        yield PredictionServiceStub(channel)


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def predict(stub: PredictionServiceStub, *metadata: tuple[str, str]) -> PredictResponse:
    return stub.Predict(REQUEST, metadata=metadata, timeout=DEADLINE)


def taken(stub: PredictionServiceStub, token: str) -> bool:
    """Whether a call with this token is answered."""
    try:
        return len(predict(stub, *bearing(token)).digits) == 1
    except grpc.RpcError as error:
        assert getattr(error, "code")() is grpc.StatusCode.UNAUTHENTICATED  # noqa: B009 - its type does not say so
        return False


def get(server: ServerProcess, path: str, **headers: str) -> tuple[int, str | None]:
    """The status of a GET, and the challenge in its answer."""
    connection = HTTPConnection(server.http.removeprefix("http://"), timeout=DEADLINE)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.headers["www-authenticate"]
    finally:
        connection.close()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_caller_with_a_token_is_answered(stub: PredictionServiceStub, scheme: str) -> None:
    assert len(predict(stub, ("authorization", f"{scheme} {TOKEN}")).digits) == 1


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {SCRAPER}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer # those who may call",
    ],
)
def test_anything_else_is_unauthenticated(stub: PredictionServiceStub, authorization: str) -> None:
    status, message = refusal(lambda: predict(stub, ("authorization", authorization)))
    assert status == "UNAUTHENTICATED"
    assert message.startswith("authorization: ")
    assert TOKEN not in message


def test_every_rpc_but_health_wants_a_token(server: ServerProcess, stub: PredictionServiceStub) -> None:
    assert refusal(lambda: predict(stub))[0] == "UNAUTHENTICATED"
    assert refusal(lambda: stub.GetModel(GetModelRequest(), timeout=DEADLINE))[0] == "UNAUTHENTICATED"
    assert refusal(lambda: next(stub.PredictStream(iter([REQUEST]), timeout=DEADLINE)))[0] == "UNAUTHENTICATED"
    with server.channel() as channel:
        for version in ("v1alpha", "v1"):
            reflect: Any = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
            refused = refusal(lambda ask=reflect: next(ask(iter([b""]), timeout=DEADLINE)))  # type: ignore[misc]
            assert refused[0] == "UNAUTHENTICATED"
        inference = "/inference.GRPCInferenceService/"
        assert refusal(lambda: raw_call(channel, f"{inference}ServerMetadata", b""))[0] == "UNAUTHENTICATED"
        assert refusal(lambda: raw_call(channel, f"{inference}ModelInfer", b""))[0] == "UNAUTHENTICATED"
        for probe in ("/grpc.health.v1.Health/Check", f"{inference}ServerLive", f"{inference}ServerReady"):
            assert raw_call(channel, probe, b"") == b"\x08\x01"


def test_a_stream_is_authenticated_when_it_begins(stub: PredictionServiceStub) -> None:
    replies = stub.PredictStream(iter([REQUEST] * 3), metadata=bearing(TOKEN), timeout=DEADLINE)
    assert [len(reply.digits) for reply in replies] == [1, 1, 1]


def test_calls_without_a_token_are_counted(server: ServerProcess, stub: PredictionServiceStub) -> None:
    def counted(name: str, **labels: str) -> float:
        return sum(
            float(line.rpartition(" ")[2])
            for line in scraped(server).splitlines()
            if line.startswith(f"{name}{{") and all(f'{key}="{value}"' in line for key, value in labels.items())
        )

    def counts() -> tuple[float, float]:
        return (
            counted("digits_rejected_total", reason="unauthenticated"),
            counted("grpc_server_handled_total", grpc_code="UNAUTHENTICATED", grpc_method="Predict"),
        )

    before = counts()
    refusal(lambda: predict(stub))
    refusal(lambda: predict(stub, *bearing("no-such-token-anywhere")))
    assert counts() == (before[0] + 2, before[1] + 2)


def scraped(server: ServerProcess) -> str:
    connection = HTTPConnection(server.http.removeprefix("http://"), timeout=DEADLINE)
    connection.request("GET", "/metrics", headers=dict(bearing(SCRAPER)))
    try:
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_probes_need_no_token(server: ServerProcess, path: str) -> None:
    assert get(server, path) == (200, None)


@pytest.mark.parametrize(
    "path", ["/metrics", "/", "/v2/models/digits", "/no/such/page", "/healthz/", "//healthz", "/metrics?/healthz"]
)
def test_everything_else_over_http_wants_a_token(server: ServerProcess, path: str) -> None:
    assert get(server, path) == (401, "Bearer")
    assert get(server, path, authorization="Basic dXNlcjpwYXNz") == (401, "Bearer")
    assert get(server, path, authorization=f"Bearer {TOKEN}x") == (401, 'Bearer error="invalid_token"')


@pytest.mark.parametrize("path", ["/metrics%0A", "/metrics%0a", "/metrics%0A%0A", "/metrics%0D%0A", "/metrics%00"])
def test_a_line_break_after_a_path_opens_nothing(server: ServerProcess, path: str) -> None:
    assert get(server, path)[0] == 401
    for token in (TOKEN, SCRAPER):
        assert get(server, path, authorization=f"Bearer {token}")[0] in (401, 404)


def test_metrics_are_for_scrapers_and_the_rest_for_callers(server: ServerProcess) -> None:
    assert get(server, "/metrics", authorization=f"Bearer {SCRAPER}") == (200, None)
    assert get(server, "/metrics", authorization=f"Bearer {TOKEN}")[0] == 401
    assert get(server, "/no/such/page", authorization=f"Bearer {TOKEN}") == (404, None)
    assert get(server, "/no/such/page", authorization=f"Bearer {SCRAPER}")[0] == 401


def test_a_new_token_is_taken_and_an_old_one_refused_without_a_restart(
    server: ServerProcess, stub: PredictionServiceStub, tokens: Path
) -> None:
    before = tokens.read_text()
    assert not taken(stub, SECOND)
    tokens.write_text(f"{SECOND}\n")
    until(lambda: taken(stub, SECOND), "the new token is taken")
    assert not taken(stub, TOKEN)
    tokens.write_text("too short\n")
    said = server.wait_for_log("--tokens not reloaded")
    assert "line 1" in said["message"]
    assert "too short" not in said["message"]
    assert taken(stub, SECOND)
    tokens.write_text(before)
    until(lambda: taken(stub, TOKEN), "the usual token is taken again")


def test_no_token_is_in_any_line_of_the_log(server: ServerProcess, stub: PredictionServiceStub) -> None:
    unknown = "a-token-nobody-gave-out"
    predict(stub, *bearing(TOKEN))
    refusal(lambda: predict(stub, *bearing(unknown)))
    get(server, "/metrics", authorization=f"Bearer {unknown}")
    log = "".join(server.stderr)
    assert "listening" in log
    assert not [token for token in (TOKEN, SECOND, SCRAPER, unknown) if token in log]


def test_metrics_may_be_left_open(repository: Path, tokens: Path) -> None:
    open_paths = "/healthz,/readyz,/metrics"
    with ServerProcess("--repository", repository, "--tokens", tokens, "--http-open", open_paths) as server:
        assert get(server, "/metrics") == (200, None)
        assert get(server, "/other")[0] == 401


def test_without_tokens_of_scrapers_those_of_callers_open_the_metrics(repository: Path, tokens: Path) -> None:
    with ServerProcess("--repository", repository, "--tokens", tokens) as server:
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/metrics", authorization=f"Bearer {TOKEN}") == (200, None)


def test_a_file_that_cannot_be_read_is_one_clear_sentence_and_exit_1(repository: Path, tmp_path: Path) -> None:
    ended = run_server("--repository", repository, "--tokens", tmp_path / "absent")
    assert ended.returncode == 1
    assert ended.stderr == f"Error: --tokens: cannot read {tmp_path / 'absent'}: No such file or directory\n"
