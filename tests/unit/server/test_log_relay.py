"""Lines of a worker's log, however their bytes arrive."""

from io import BytesIO

from digits_server.workers.log_relay import MAX_LINE_BYTES, Lines


def test_a_line_without_end_is_cut_and_passed_on() -> None:
    output = BytesIO()
    lines = Lines(output)
    lines.data_received(b"a\n" + b"x" * MAX_LINE_BYTES)
    assert output.getvalue() == b"a\n"
    lines.data_received(b"y")
    assert output.getvalue() == b"a\n" + b"x" * MAX_LINE_BYTES + b"y\n"
    lines.data_received(b"z\n")
    assert output.getvalue().endswith(b"y\nz\n")


def test_half_a_line_of_a_worker_that_has_ended_is_passed_on_as_a_line() -> None:
    output = BytesIO()
    lines = Lines(output)
    lines.data_received(b"a\nb")
    lines.connection_lost(None)
    assert output.getvalue() == b"a\nb\n"
    assert lines.ended.is_set()
