"""The endpoints for operators: /metrics, /healthz, /readyz."""

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest, openmetrics
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from digits_server.security.access import Access
from digits_server.web.routes import Route
from digits_server.workers.process_role import Role

OPENMETRICS = openmetrics.exposition.CONTENT_TYPE_LATEST


def wants_openmetrics(accept: Iterable[str]) -> bool:
    """Whether one of the media types in these Accept headers is OpenMetrics.

    Parameters are ignored: there is one version of each format here, and every metric name is plain ASCII, so that
    no escaping changes it.
    """
    kinds = (kind.partition(";")[0].strip().lower() for header in accept for kind in header.split(","))
    return "application/openmetrics-text" in kinds


def operations(role: Role) -> list[Route]:
    """The routes for operators; `role` answers for the whole server."""

    async def metrics(request: Request) -> Response:
        """The metrics in the format the scraper asks for: Prometheus text or OpenMetrics."""
        try:
            registry = await role.metrics()
        except TimeoutError:
            return PlainTextResponse("the workers did not report their metrics in time; ask again\n", status_code=503)
        if wants_openmetrics(request.headers.getlist("accept")):
            page = openmetrics.exposition.generate_latest(registry)  # type: ignore[no-untyped-call]  # as released
            content_type = OPENMETRICS
        else:
            page, content_type = generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
        return Response(page, headers={"content-type": content_type})

    async def healthz(_: Request) -> Response:
        """200 as long as the process can answer: restart it if it does not."""
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        """200 if predictions are answered, 503 while a model is loading or the server drains: send no calls then."""
        return PlainTextResponse("ready\n") if await role.ready() else PlainTextResponse("not ready\n", status_code=503)

    return [
        Route("/metrics", metrics, Access.SCRAPERS, counted=False),
        Route("/healthz", healthz, Access.PROBES, counted=False),
        Route("/readyz", readyz, Access.PROBES, counted=False),
    ]
