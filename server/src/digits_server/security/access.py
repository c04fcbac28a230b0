"""The rules of access to HTTP routes."""

from enum import Enum


class Access(Enum):
    """Who may use a route. Paths in --http-open need no token, except for scrapers with their own tokens."""

    PROBES = "probes"
    """Every caller, even if all places are busy."""
    SCRAPERS = "scrapers"
    """Callers with a token of --metrics-tokens, or without that file of --tokens, even if all places are busy."""
    CALLERS = "callers"
    """Callers with a token of --tokens, while a place is free."""
