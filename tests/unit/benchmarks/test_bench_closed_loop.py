"""The output of h2load in real runs, and what it does not show."""

import pytest

from benchmarks.loads.closed_loop import Load, WrongAnswers, lasting, parse

REPLY_BYTES = 16

EIGHT_REQUESTS = """\
starting benchmark...
spawning thread #0: 2 total client(s). 8 total requests
Application protocol: h2c
progress: 12% done
progress: 100% done

finished in 9.02ms, 886.52 req/s, 96.96KB/s
requests: 8 total, 8 started, 8 done, 8 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 8 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 896B (896) total, 174B (174) headers (space savings 73.15%), 128B (128) data
                     min         max         mean         sd        +/- sd
time for request:     1.37ms      5.93ms      3.46ms      2.12ms    75.00%
"""

EIGHT_LINES = """\
1795488536670654\t200\t4617
1795488536670428\t200\t5321
1795488536670430\t200\t5768
1795488536670655\t200\t5927
1795488536675351\t200\t1658
1795488536675759\t200\t1539
1795488536676207\t200\t1460
1795488536676591\t200\t1372
"""

FIXED_DURATION = """\
Main benchmark duration is over for thread #0. Stopping all clients.
Stopped all clients for thread #0

finished in 21.51ms, 3750.00 req/s, 282.52KB/s
requests: 75 total, 76 started, 75 done, 75 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 75 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 5.65KB (5786) total, 300B (300) headers (space savings 95.06%), 1.17KB (1200) data
"""

UNIMPLEMENTED = """\
finished in 5.18ms, 772.65 req/s, 65.08KB/s
requests: 4 total, 4 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 345B (345) total, 185B (185) headers (space savings 42.19%), 0B (0) data
"""

NOBODY_LISTENS = """\
finished in 5.23ms, 0.00 req/s, 0B/s
requests: 40 total, 0 started, 0 done, 0 succeeded, 40 failed, 40 errored, 0 timeout
status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 0B (0) total, 0B (0) headers (space savings 0.00%), 0B (0) data
"""


def test_the_summary_and_the_log_are_read() -> None:
    report = parse(EIGHT_REQUESTS, EIGHT_LINES)
    assert (report.requests, report.answered, report.data, report.rate) == (8, 8, 128, 886.52)
    assert report.latencies == sorted(report.latencies)
    assert (report.percentile(0.5), report.percentile(0.99)) == (1.658, 5.927)  # ms
    report.verify(REPLY_BYTES)


def test_a_grpc_error_is_no_answer_although_its_http_status_is_200() -> None:
    with pytest.raises(WrongAnswers, match="4 of 4 requests were answered, with 0 bytes"):
        parse(UNIMPLEMENTED, "").verify(REPLY_BYTES)


def test_requests_that_never_left_are_no_answers() -> None:
    with pytest.raises(WrongAnswers, match="0 of 40 requests"):
        parse(NOBODY_LISTENS, "").verify(REPLY_BYTES)


def test_replies_of_another_size_are_wrong() -> None:
    for size in (REPLY_BYTES - 1, REPLY_BYTES + 1):
        with pytest.raises(WrongAnswers):
            parse(EIGHT_REQUESTS, EIGHT_LINES).verify(size)


def test_a_run_of_fixed_duration_may_end_inside_a_reply() -> None:
    parse(FIXED_DURATION, "").verify(REPLY_BYTES, in_flight=1)
    half_a_reply = FIXED_DURATION.replace("(1200) data", "(1208) data")
    parse(half_a_reply, "").verify(REPLY_BYTES, in_flight=1)
    with pytest.raises(WrongAnswers):
        parse(half_a_reply, "").verify(REPLY_BYTES)


def test_output_without_figures_is_refused() -> None:
    with pytest.raises(WrongAnswers, match="printed no"):
        parse("h2load: unrecognized option '--moon'", "")


def test_requests_in_flight_are_connections_times_streams() -> None:
    assert Load(connections=4, streams=16, images=1).in_flight == 64
    assert lasting(1.5) == ["-D", "1500ms"]
