"""One of two servers is killed under load, again and again: the client goes on with the other one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.client.load import ClientLoad
from support.records import Record
from support.servers.pair import pair_and_client
from support.servers.process import OVER_BOTH_TRANSPORTS

pytestmark = OVER_BOTH_TRANSPORTS

KILLS, KILLS_IN_FULL = 2, 20
CALLERS = 8
TIMEOUT = 5.0  # seconds of each call, retries included
LEAST_SUCCESS = 0.999


def test_kill_9_of_one_of_two_servers_is_almost_invisible_to_a_client(
    repository: Path, test_images: NDArray[np.uint8], full: bool, record: Record
) -> None:
    kills = KILLS_IN_FULL if full else KILLS
    with pair_and_client(repository) as (pair, client):
        with ClientLoad(client, test_images[:200], CALLERS, TIMEOUT) as load:
            for kill in range(kills):
                load.wait_for_more(50)
                pair.servers[kill % 2].kill()
                load.wait_for_more(50)
                pair.start_again(kill % 2)
            load.wait_for_more(50)
        calls = load.outcomes.total()
        share = load.outcomes["OK"] / calls
        record(
            f"{kills} times kill -9 of one of two: calls answered (at least {LEAST_SUCCESS:.1%})",
            f"{share:.2%} of {calls:,}",
            met=share >= LEAST_SUCCESS,
        )
        record(f"the slowest call (deadline: {TIMEOUT:.0f} s)", f"{load.slowest:.2f} s", met=load.slowest <= TIMEOUT)
        assert set(load.outcomes) <= {"OK", "Unavailable"}
        if full:
            assert share >= LEAST_SUCCESS
