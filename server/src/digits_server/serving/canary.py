"""A canary: a version that answers a share of the requests that name no version."""

GOLDEN_RATIO = 0.6180339887498949


class Split:
    """Decides for each request whether the canary answers it.

    Multiples of the golden ratio fill the circle evenly. So any series of requests gets the share to within a request
    or two, and a rhythm in the callers' requests has no effect, unlike with "every twentieth request".
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._place = 0.0

    def takes(self) -> bool:
        self._place = (self._place + GOLDEN_RATIO) % 1.0
        return self._place < self._share
