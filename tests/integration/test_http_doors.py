"""Access to routes over HTTP: every route in every spelling, names of the machine, pages of other sites."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from support.servers.process import ServerProcess
from support.wire.raw_http import RawAnswer, ask, get, request

TOKEN = "a-token-of-a-caller-4dAq1"  # noqa: S105 - known to tests only
SCRAPER = "a-token-of-a-scraper-77bX"
OPEN = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
CLOSED = (
    "/metrics",
    "/",
    "/predict",
    "/model",
    "/model/1/report/history.png",
    "/v2",
    "/v2/",
    "/v2/models/digits",
    "/v2/models/digits/versions/1",
    "/v2/models/digits/ready",
    "/v2/models/digits/versions/1/ready",
    "/v2/models/digits/infer",
    "/v2/models/digits/versions/1/infer",
    "/openapi.json",
    "/no/such/path",
)
FILE = Path(__file__).parents[2].joinpath("docs/digit.png").read_bytes()


def spellings(path: str) -> list[str]:
    """Other ways to write a path that some program considers the same."""
    first = path[1:2] or "x"
    return [
        path,
        *(path + end for end in ("%0A", "%0a", "%0D%0A", "%00", "%09", "%20", "%85", "%C2%85", "%E2%80%A8")),
        *(
            path + end
            for end in ("/", "//", "/.", "/..", ";", ";x=/healthz", "%3B", "?", "?/healthz", "%3F", "#", "%23")
        ),
        *(path + end for end in ("%2Fhealthz", "%2f..%2fhealthz", "/../healthz", "%00/healthz", "%0A/healthz")),
        *(before + path for before in ("/", "/.", "/x/..", "/%2e", "/healthz/..", "/healthz%2f..", "/v2/health/..")),
        *(before + path for before in ("/v2/health", "/v2/health/live", "/healthz", "http://localhost", "//localhost")),
        path.upper() if path.upper() != path else path + "X",
        path.replace("/", "%2F", 1),
        path.replace("/", "\\", 1) if len(path) > 1 else "/\\",
        path.replace("/", "%5C", 1),
        path.replace(first, f"%{ord(first):02x}", 1),
        path.replace(first, f"%{ord(first):02X}", 1),
        path.replace("/", "//"),
        path.replace("/", "/./"),
        path.replace("/", "/%2e/"),
    ]


PROBES = (b"alive\n", b"ready\n", b'{"live":true}', b'{"ready":true}', b"")
"""The answers to probes; HEAD has no body."""

METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE", "PROPFIND", "get")


@pytest.fixture(scope="module")
def guarded(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("doors")
    folder.joinpath("callers").write_text(TOKEN)
    folder.joinpath("scrapers").write_text(SCRAPER)
    flags: list[str | Path] = ["--tokens", folder / "callers", "--metrics-tokens", folder / "scrapers"]
    with ServerProcess("--repository", repository, *flags) as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def plain(repository: Path) -> Iterator[ServerProcess]:
    with ServerProcess("--repository", repository, "--http-hosts", "digits.internal, proxy.example.org") as running:
        yield running.wait_ready()


@pytest.mark.parametrize("path", [*CLOSED, *OPEN])
def test_no_spelling_of_a_path_opens_more_than_its_plain_form(guarded: ServerProcess, path: str) -> None:
    """Without a token every answer is 401, except those of probes and of missing paths among them."""
    for spelling in spellings(path):
        for method in METHODS if spelling in (path, path + "%0A") else ("GET",):
            answer = ask(guarded, request(method, spelling), method)
            if answer.status in (400, 401):
                continue
            assert is_open(spelling), (method, spelling, answer)
            assert answer.status in (404, 405) or answer.body in PROBES, (method, spelling, answer)


def is_open(target: str) -> bool:
    """Whether a decoded path is that of a probe, or below a path that --http-open opens by default."""
    decoded = unquote(target.partition("?")[0])
    return decoded in OPEN or decoded.startswith("/v2/health/")


@pytest.mark.parametrize("token", [TOKEN, SCRAPER])
@pytest.mark.parametrize("path", ["/metrics", "/v2/models/digits"])
def test_a_token_opens_its_own_paths_in_no_spelling_more(guarded: ServerProcess, token: str, path: str) -> None:
    own = {"/metrics": SCRAPER}.get(path, TOKEN) == token
    for spelling in spellings(path):
        answer = get(guarded, spelling, f"authorization: Bearer {token}")
        if b"digits_http_requests_total" in answer.body:
            assert token == SCRAPER
            assert path == "/metrics"
        elif answer.status == 200 and not is_open(spelling):
            assert own
    assert get(guarded, path, f"authorization: Bearer {token}").status == (200 if own else 401)


FOREIGN_HOSTS = (
    *("attacker.example", "attacker.example:8080", "localhost.attacker.example", "127.0.0.1.nip.io"),
    *("10.0.0.1", "1.0.0.127", "[::2]:80", "2130706433", "localhost%2Eexample", "::1]", "]", "xn--localhost"),
)
OUR_HOSTS = (
    *("localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:1", "127.8.9.10", "[::1]:8080"),
    *("digits.internal", "Proxy.Example.org:443"),
)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/", "/v2", "/no/such/path"])
def test_a_name_that_is_not_of_this_machine_is_421(plain: ServerProcess, path: str, host: str) -> None:
    answer = get(plain, path, host=host)
    assert answer.status == 421
    assert b"--http-hosts" in answer.body


@pytest.mark.parametrize("host", OUR_HOSTS)
def test_the_names_of_this_machine_and_those_of_the_setting_pass(plain: ServerProcess, host: str) -> None:
    assert get(plain, "/v2", host=host).status == 200


def test_where_a_network_decides_any_name_passes(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--host", "0.0.0.0") as server:  # noqa: S104 - for a moment
        assert get(server, "/healthz", host="anything.example").status == 200


PATHS = (
    *(("GET", path) for path in ("/metrics", "/model", "/healthz")),
    *(("POST", path) for path in ("/predict", "/v2/models/digits/infer")),
)


def from_browser(server: ServerProcess, method: str, path: str, *headers: str) -> RawAnswer:
    body = b"{}" if method == "POST" else b""
    return ask(server, request(method, path, "content-type: text/plain", *headers, body=body))


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        ["sec-fetch-site: cross-site", "sec-fetch-mode: no-cors", "sec-fetch-dest: image"],
        ["sec-fetch-site: same-site", "sec-fetch-mode: cors"],
        ["Sec-Fetch-Site: CROSS-SITE"],
        ["sec-fetch-site: "],
        ["origin: https://attacker.example"],
        ["origin: null"],
        ["origin: http://localhost:1"],
        ["origin: http://[bad"],
        ["sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: iframe"],
    ],
)
def test_a_request_marked_as_from_another_site_is_403(
    plain: ServerProcess, method: str, path: str, headers: list[str]
) -> None:
    answer = from_browser(plain, method, path, *headers)
    assert answer.status == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["sec-fetch-site: same-origin", "origin: http://localhost"],
        ["sec-fetch-site: none"],
        ["origin: http://localhost"],
        ["sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: document"],
    ],
)
def test_programs_our_own_page_and_links_go_on_working(plain: ServerProcess, headers: list[str]) -> None:
    assert get(plain, "/", *headers).status == 200


def test_a_form_cannot_follow_a_link(plain: ServerProcess) -> None:
    link = ["sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: document"]
    assert from_browser(plain, "POST", "/v2/models/digits/infer", *link).status == 403


def test_a_route_without_an_access_rule_cannot_be_made() -> None:
    from digits_server.web.routes import Route

    async def endpoint(_request: object) -> None: ...

    with pytest.raises(TypeError):
        Route("/open", endpoint)  # type: ignore[call-arg, arg-type]
