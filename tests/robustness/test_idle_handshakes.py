"""TCP connections to the HTTPS port without a TLS handshake: they must not take every descriptor."""

import ssl
from pathlib import Path

import grpc
from support.attacks.attack import Attack
from support.calls.witness import HttpWitness, Witness
from support.machine.usage import Usage
from support.network.certificates import NAME, Authority, Folder
from support.records import Record
from support.servers.process import OVER_GRPCIO, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_GRPCIO

CONNECTIONS = 1_700
CALLS, CALLS_IN_FULL = 30, 500
MOST_DESCRIPTORS = 256 + 16 + 32
"""Places for HTTP connections, and some connections that the server opens meanwhile."""

GIVEN_BACK_SECONDS = 60.0
CALL_SECONDS = 20.0


def test_idle_handshakes_leave_probes_and_calls_alone(
    repository: Path, tmp_path: Path, record: Record, *, full: bool
) -> None:
    authority = Authority()
    folder = Folder.signed_by(authority, tmp_path / "tls")
    trusted = ssl.create_default_context(cadata=authority.certificate.decode())
    trusted.check_hostname = False
    calls = CALLS_IN_FULL if full else CALLS
    with ServerProcess("--repository", repository, "--http-tls", *folder.flags) as server:
        server.wait_ready()
        https = server.http.replace("http://127.0.0.1", "https://127.0.0.1")
        usage = Usage(server.process.pid)
        before = usage.descriptors
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        attack = Attack("tls_idle", server.http.removeprefix("http://"), CONNECTIONS)
        with grpc.secure_channel(server.target, credentials, [("grpc.ssl_target_name_override", NAME)]) as channel:
            stub = PredictionServiceStub(channel)
            request = PredictRequest(images=bytes(784))
            with (
                HttpWitness(f"{https}/healthz", trusted) as probe,
                Witness(lambda: stub.Predict(request, timeout=CALL_SECONDS)) as caller,
            ):
                probe.wait_for_more(calls)
                caller.wait_for_more(calls)
                alone = (probe.p99(), caller.p99())
                during = (len(probe.seconds), len(caller.seconds))
                with attack:
                    attack.done()
                    probe.wait_for_more(calls)
                    caller.wait_for_more(calls)
                    taken = usage.descriptors - before
                beside = (probe.p99(during[0]), caller.p99(during[1]))
            assert probe.failures == []
            assert caller.failures == []
        until(lambda: usage.descriptors <= before + 8, "every descriptor is given back", GIVEN_BACK_SECONDS)
        assert server.process.poll() is None
    record(
        f"{CONNECTIONS:,} idle connections to the HTTPS port: p99 of a probe, of a caller; descriptors",
        f"{1000 * beside[0]:.0f} ms, {beside[0] / alone[0]:.1f} ×; {1000 * beside[1]:.1f} ms, "
        f"{beside[1] / alone[1]:.1f} ×; + {taken}",
        met=max(beside[0] / alone[0], beside[1] / alone[1]) <= 3 and taken <= MOST_DESCRIPTORS,
    )
    assert taken <= MOST_DESCRIPTORS
