"""The page at / to draw a digit on, and the predictions that it requests."""

import asyncio
import base64
import hashlib
import re
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from digits_server.errors import InvalidRequest, Unimplemented
from digits_server.pages.answers import HEADERS, UNCACHED, cached
from digits_server.runtimes import Images
from digits_server.security.access import Access
from digits_server.service.calls import Call
from digits_server.service.prediction_service import Classified, PredictionService
from digits_server.web.bodies import Bodies
from digits_server.web.calls import HttpCall, while_connected
from digits_server.web.in_flight import InFlight
from digits_server.web.routes import Route

NO_DEVICES = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


def routes(service: PredictionService, in_flight: InFlight, bodies: Bodies, seconds: float) -> list[Route]:
    """`/` and `/predict`.

    in_flight  counts the predictions in flight
    bodies     reads the pictures
    seconds    most time from a request's headers to its answer
    """
    html = files("digits_server.pages").joinpath("playground.html").read_bytes()
    headers = {**HEADERS, "content-security-policy": policy(html.decode()), "permissions-policy": NO_DEVICES}

    async def page(request: Request) -> Response:
        """The HTML file. It requests everything else that it shows."""
        return cached(request, html, "text/html; charset=utf-8", headers)

    async def predict(request: Request) -> Response:
        """Takes one image file; answers the digit, its probabilities and the pixels that the model saw.

        With the query `unlike=true` it also answers the score of unlike, null if the version has no such score.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        _refuse_forms(request)
        body = await bodies.read(request, deadline)
        if not body:
            raise InvalidRequest("expected one image file as the body, got none")
        call = HttpCall(deadline, request.client, request.headers)
        unlike = request.query_params.get("unlike") == "true"
        with in_flight:
            images, answer = await while_connected(request, _predicted(service, body, call, unlike=unlike), deadline)
        return JSONResponse(
            {
                "digit": int(answer.digits[0]),
                "confidence": float(answer.confidences[0]),
                "probabilities": answer.probabilities[0].tolist(),
                "pixels": base64.b64encode(images.tobytes()).decode(),
                "model_version": answer.version,
                **({"unlike": None if answer.unlike is None else float(answer.unlike[0])} if unlike else {}),
            },
            headers=UNCACHED,
        )

    return [Route("/", page, Access.CALLERS), Route("/predict", predict, Access.CALLERS, ("POST",))]


async def _predicted(service: PredictionService, file: bytes, call: Call, *, unlike: bool) -> tuple[Images, Classified]:
    """The pixels a file shows the model, uint8[1, 28, 28], and what it makes of them."""
    images = await service.decode([file], call)
    return images, await service.classify(images, 0, call, unlike=unlike, may_lack=True)


def policy(html: str) -> str:
    """The content-security policy of the page: its own script and style, named by their hashes, and nothing else."""

    def hashes(tag: str) -> str:
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inside)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _refuse_forms(request: Request) -> None:
    """Rejects content types that a page of another site could send without a preflight request: forms and plain text.

    For any other type, browsers ask the server first, and it does not allow it. Only old browsers, which do not mark
    requests of other sites, need this rule.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise Unimplemented("expected one image file as the body, with an image's content type")
