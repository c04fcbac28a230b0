"""A canary: a version that answers a share of the requests that name none."""

GOLDEN_RATIO = 0.6180339887498949


class Split:
    """Says of each request whether the canary takes it.

    Multiples of the golden ratio fill the circle evenly, so that any run of requests gets the share to within a
    request or two, and no rhythm in what callers send meets one here, as it would with every twentieth request.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._place = 0.0

    def takes(self) -> bool:
        self._place = (self._place + GOLDEN_RATIO) % 1.0
        return self._place < self._share
