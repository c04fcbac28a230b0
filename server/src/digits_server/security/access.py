"""Who may use what is answered over HTTP."""

from enum import Enum


class Access(Enum):
    """Who may use a route. Paths that --http-open names need no token, unless they are for scrapers with their own."""

    PROBES = "probes"
    """Callers, and they are answered though all places are busy."""
    SCRAPERS = "scrapers"
    """Those of --metrics-tokens, or else callers. They are answered though all places are busy."""
    CALLERS = "callers"
    """Those of --tokens, while there is a place for their request."""
