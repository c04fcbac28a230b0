"""The pages: /metrics, /healthz, /readyz."""

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from digits_server.workers.process_role import Role


def operations(role: Role) -> list[Route]:
    """The routes of whoever operates the server; `role` answers for the whole of it."""

    async def metrics(request: Request) -> Response:
        """The metrics in the format the scraper asks for: Prometheus text or OpenMetrics."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        try:
            page = encode(await role.metrics())
        except TimeoutError:
            return PlainTextResponse("the metrics of all workers cannot be had now\n", status_code=503)
        return Response(page, headers={"content-type": content_type})

    async def healthz(_: Request) -> Response:
        """200 as long as the process can answer at all: restart it when it does not."""
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        """200 when predictions are answered, 503 while a model is loading or the server drains: send no calls then."""
        return PlainTextResponse("ready\n") if await role.ready() else PlainTextResponse("not ready\n", status_code=503)

    return [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
