"""A canary: a version that answers a share of the requests that name none."""

from dataclasses import dataclass
from typing import Any

import click

GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Canary:
    """The version, and its share of the requests that name none, from 0 to 1."""

    version: int
    share: float

    def __str__(self) -> str:
        return f"{self.version}={100 * self.share:g}%"


class CanaryType(click.ParamType[Canary]):
    """`N=5%`: a version and its share."""

    name = "n=x%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Canary:
        if isinstance(value, Canary):
            return value
        version, _, share = str(value).partition("=")
        try:
            canary = Canary(int(version), float(share.removesuffix("%")) / 100)
        except ValueError:
            canary = Canary(0, 0.0)
        if not share.endswith("%") or canary.version < 1 or not 0 < canary.share <= 1:
            self.fail(f"{value!r} is not a version and its share, such as 5=10%.", param, ctx)
        return canary


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
