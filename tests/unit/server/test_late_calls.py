"""A call that ends at its deadline counts as late, even if the other side notices the deadline first."""

import pytest

from digits_server.service.calls import EARLY_SECONDS, is_late


@pytest.mark.parametrize(
    ("deadline", "ended", "late"),
    [
        (None, 10.0, False),
        (10.0, 9.0, False),
        (10.0, 10.0 - EARLY_SECONDS / 2, True),  # the caller's clock started while its request was on the way
        (10.0, 10.5, True),
    ],
)
def test_a_call_is_late_if_it_ends_at_its_deadline(deadline: float | None, ended: float, late: bool) -> None:
    assert is_late(deadline, ended) == late
