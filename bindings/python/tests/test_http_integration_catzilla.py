"""The HTTP cache in the published Catzilla framework, asked over HTTP: the examples of its caching guide as they are written, and what goes beyond.

The framework by itself has no ``add_middleware``, and its middleware cannot be called: that is the control. Nor can it call the guide's
handlers that take path parameters alone; they are written here as in its other examples, with the request first.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest

from test_published_framework import IN_PLACE, PATIENCE_SECONDS, Server, serve

# What a program runs before one that is written for the framework alone.
INSTALLED = IN_PLACE + """
import catzilla_cache.cache_middleware
sys.modules["catzilla.cache_middleware"] = catzilla_cache.cache_middleware
from catzilla import Catzilla
from catzilla_cache.integrations.catzilla import install
install(Catzilla)
"""

GUIDE = """
import asyncio, sys
from catzilla import Catzilla, HTMLResponse, JSONResponse, Path, Request, Response, StreamingResponse
from catzilla.smart_cache import SmartCacheConfig
from catzilla.cache_middleware import (
    ConditionalCacheMiddleware, SmartCacheMiddleware, create_api_cache_middleware, create_static_cache_middleware,
)

app = Catzilla(log_requests=False, show_banner=False)
config = SmartCacheConfig(memory_capacity=10000, memory_ttl=3600)
runs = {}

def run(name):
    runs[name] = runs.get(name, 0) + 1
    return runs[name]

# "Middleware Integration"
cache_middleware = SmartCacheMiddleware(
    config=config,
    default_ttl=300,  # 5 minutes default
    cache_methods={'GET', 'HEAD'},
    cache_status_codes={200, 404}
)

app.add_middleware(cache_middleware)

@app.get("/api/users/{user_id}")
async def get_user(request: Request, user_id: int = Path(..., ge=1)):
    # This response will be automatically cached
    run("user")
    return {"user_id": user_id, "name": f"User {user_id}"}

# "Cache Headers and ETags"
@app.get("/api/resource/{id}")
async def get_resource(request: Request, id: int = Path(..., ge=1)):
    # Check ETag for conditional requests
    run("resource")
    etag = f'"{id}-v1"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304)  # Not Modified

    response = JSONResponse({"id": id})
    response.headers["etag"] = etag
    response.headers["cache-control"] = "max-age=3600"

    return response

@app.get("/text/{name}")
def text(request: Request):
    return HTMLResponse(f"<p>gr\\u00fc\\u00dfe {run('text')}</p>", headers={"Link": "</a>", "X-Own": "1"})

@app.get("/counted/{name}")
def counted(request: Request):
    return JSONResponse({"run": run(request.path.split("?")[0]), "accept": request.get_header("accept")}, headers=dict(
        pair.split(":", 1) for pair in (request.query_params.get("say") or "").split("|") if pair
    ))

@app.post("/counted/{name}")
def changed(request: Request):
    return JSONResponse({"changed": True})

@app.get("/slow/{name}")
async def slow(request: Request):
    await asyncio.sleep(0.2)
    return {"run": run(request.path)}

@app.get("/streamed")
def streamed(request: Request):
    number = run("streamed")
    return StreamingResponse(iter([f"part {number}, ", "end"]))

@app.get("/fails/{name}")
def fails(request: Request):
    if run(request.path) > 1:
        raise ValueError("down")
    return JSONResponse({"ok": True}, headers={"Cache-Control": "max-age=0, stale-if-error=600", "ETag": '"1"'})

@app.get("/fails-async/{name}")
async def fails_async(request: Request):
    if run(request.path) > 1:
        raise ValueError("down")
    return JSONResponse({"ok": True}, headers={"Cache-Control": "max-age=0, stale-if-error=600", "ETag": '"1"'})

def only_members(request):
    if request.get_header("x-member") != "yes":
        return Response(status_code=403, body="members only")

@app.get("/members", middleware=[only_members])
def members(request: Request):
    return JSONResponse({"members": run("members")})

@app.middleware(pre_route=False, post_route=True)
def stamp(request, response):
    response.set_header("X-Stamp", "1")

@app.get("/ready")
def ready(request: Request):
    return JSONResponse({"ready": True}, headers={"Cache-Control": "no-store"})

@app.get("/stats")
def stats(request: Request):
    return JSONResponse({"runs": runs, **cache_middleware.get_stats()["middleware_stats"]}, headers={"Cache-Control": "no-store"})

app.listen(port=int(sys.argv[1]), host="127.0.0.1")
"""

OWN_LOGIC = """
import asyncio, logging, sys
from catzilla import Catzilla, JSONResponse, Request
from catzilla.smart_cache import SmartCacheConfig
from catzilla.cache_middleware import SmartCacheMiddleware, create_api_cache_middleware, create_static_cache_middleware

app = Catzilla(log_requests=False, show_banner=False)
runs = {}

def run(name):
    runs[name] = runs.get(name, 0) + 1
    return runs[name]

# "Custom Cache Logic"
class CustomCacheMiddleware(SmartCacheMiddleware):
    async def process_request(self, request):
        # Custom logic before checking cache
        if request.headers.get("bypass-cache"):
            return None  # Skip cache

        await asyncio.sleep(0)
        return await super().process_request(request)

    async def process_response(self, request, response):
        # Custom logic before caching response
        if response.status_code >= 500:
            return response  # Don't cache server errors

        return await super().process_response(request, response)

# "Advanced Key Generation"
def custom_key_generator(request):
    user_id = request.headers.get("user-id", "anonymous")
    return f"{request.method}:{request.url.path}:user:{user_id}"

app.add_middleware(CustomCacheMiddleware(config=SmartCacheConfig(memory_capacity=100), custom_key_generator=custom_key_generator))

@app.get("/sync/{name}")
def sync(request: Request):
    return JSONResponse({"run": run(request.path)}, status_code=500 if "fail" in request.path else 200)

@app.get("/async/{name}")
async def coroutine(request: Request):
    return {"run": run(request.path)}

@app.get("/ready")
def ready(request: Request):
    return JSONResponse({"ready": True}, headers={"Cache-Control": "no-store"})

app.listen(port=int(sys.argv[1]), host="127.0.0.1")
"""


class Answer(NamedTuple):
    status: int
    headers: List[Tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> Any:
        found = [value for each, value in self.headers if each.lower() == name]
        assert len(found) < 2, found
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request on a connection of its own: everything that comes back, as it came."""
    lines = [f"{method} {path} HTTP/1.1", "Host: example.org", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        came = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = came.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    fields = [(line.split(":", 1)[0], line.split(":", 1)[1].strip()) for line in rest]
    return Answer(int(first.split(" ")[1]), fields, body)


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve(INSTALLED + GUIDE, tmp_path_factory.mktemp("guide"))


@pytest.fixture(scope="module")
def own_logic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve(INSTALLED + OWN_LOGIC, tmp_path_factory.mktemp("own"))


def test_the_guides_first_example_caches_what_a_coroutine_returns(guide: Server) -> None:
    first, second, other = ask(guide, "/api/users/7"), ask(guide, "/api/users/7"), ask(guide, "/api/users/8")
    assert (first["x-cache"], second["x-cache"], other["x-cache"]) == ("MISS", "HIT", "MISS")
    assert first["x-cache-ttl"] == "300" and second["x-cache-time"] == "0"
    assert first.json() == second.json() == {"user_id": 7, "name": "User 7"}
    assert first["content-type"] == second["content-type"] == "application/json"
    assert guide.get("/stats")["runs"]["user"] == 2


def test_the_guides_entity_tags_are_checked_by_the_cache(guide: Server) -> None:
    first = ask(guide, "/api/resource/5")
    assert (first.status, first["etag"], first["x-cache-ttl"]) == (200, '"5-v1"', "3600")
    again = ask(guide, "/api/resource/5", If_None_Match='"5-v1"')
    assert (again.status, again.body, again["etag"], again["x-cache"]) == (304, b"", '"5-v1"', "HIT")
    assert ask(guide, "/api/resource/5", If_None_Match='"other"').status == 200
    assert guide.get("/stats")["runs"]["resource"] == 1


def test_a_handler_that_is_no_coroutine_is_cached_with_its_headers_and_its_encoding(guide: Server) -> None:
    first, second = ask(guide, "/text/a"), ask(guide, "/text/a")
    assert first.body == second.body == "<p>grüße 1</p>".encode()
    assert second["x-cache"] == "HIT" and second["age"] == "0" and second["etag"] == first["etag"]
    assert (second["link"], second["x-own"], second["content-type"]) == ("</a>", "1", "text/html")


def test_the_answer_to_head_has_the_length_of_the_answer_to_get(guide: Server) -> None:
    whole = ask(guide, "/text/head")
    head = ask(guide, "/text/head", "HEAD")
    assert (head["x-cache"], head.body, head["content-length"]) == ("HIT", b"", str(len(whole.body)))


def test_a_part_is_served_if_it_is_text_and_else_the_handler_answers(guide: Server) -> None:
    whole = ask(guide, "/text/part").body
    part = ask(guide, "/text/part", Range="bytes=0-2")
    assert (part.status, part.body, part["content-range"]) == (206, b"<p>", f"bytes 0-2/{len(whole)}")
    # Within the two bytes of a letter.
    middle = whole.index("ü".encode())
    assert ask(guide, "/text/part", Range=f"bytes=0-{middle}").status == 200


def test_what_a_key_is_made_of_is_asked_of_the_framework(guide: Server) -> None:
    html, data = ask(guide, "/counted/key", Accept="text/html"), ask(guide, "/counted/key", Accept="application/json")
    assert [answer.json() for answer in (html, data)] == [
        {"run": 1, "accept": "text/html"},
        {"run": 2, "accept": "application/json"},
    ]
    assert ask(guide, "/counted/key", Accept="text/html").json()["run"] == 1
    assert ask(guide, "/counted/key?_=1", Accept="text/html").json()["run"] == 1
    assert ask(guide, "/counted/key?page=2", Accept="text/html").json()["run"] == 3


def test_a_field_that_only_the_response_names_is_asked_for_too(guide: Server) -> None:
    path = "/counted/vary?say=Vary:X-Country|Cache-Control:max-age=60"
    assert [ask(guide, path, X_Country=country).json()["run"] for country in ("de", "fr", "de", "fr")] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "said, headers",
    [
        ("Cache-Control:no-store", {}),
        ("Cache-Control:private", {}),
        ("Set-Cookie:a=1", {}),
        ("Vary:*", {}),
        ("", {"Authorization": "Bearer t"}),
        ("", {"Cookie": "a=1"}),
        ("", {"Cache-Control": "no-store"}),
    ],
)
def test_what_may_not_be_stored_is_not(guide: Server, said: str, headers: Dict[str, str]) -> None:
    path = f"/counted/not-stored-{said or '-'.join(headers)}?say={said}"
    assert [ask(guide, path, **headers).json()["run"] for _ in range(2)] == [1, 2]


def test_a_change_ends_what_is_stored_before_its_answer_is_sent(guide: Server) -> None:
    assert [ask(guide, "/counted/changed").json()["run"] for _ in range(2)] == [1, 1]
    assert ask(guide, "/counted/changed", "POST", Content_Length="0").status == 200
    assert ask(guide, "/counted/changed").json()["run"] == 2


def test_coroutines_that_are_asked_for_the_same_at_once_run_once(guide: Server) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: ask(guide, "/slow/herd"), range(20)))
    assert [answer.json()["run"] for answer in answers] == [1] * 20


def test_what_is_streamed_is_passed_on(guide: Server) -> None:
    for number in (1, 2):
        with urllib.request.urlopen(f"http://127.0.0.1:{guide.port}/streamed", timeout=PATIENCE_SECONDS) as answer:
            assert answer.read() == b"part %d, end" % number
    assert guide.get("/stats")["runs"]["streamed"] == 2


@pytest.mark.parametrize("path", ["/fails/a", "/fails-async/a"])
def test_a_handler_that_fails_is_covered_by_what_is_stored(guide: Server, path: str) -> None:
    assert ask(guide, path).json() == {"ok": True}
    covered = ask(guide, path)
    assert (covered.status, covered.json()) == (200, {"ok": True})
    assert "stale-if-error" in covered["cache-status"]


def test_nobody_gets_past_the_routes_own_middleware(guide: Server) -> None:
    assert ask(guide, "/members", X_Member="yes").status == 200
    assert ask(guide, "/members", X_Member="yes")["x-cache"] == "HIT"
    assert ask(guide, "/members").status == 403


def test_what_runs_after_handlers_runs_after_hits(guide: Server) -> None:
    assert [ask(guide, "/text/stamp")["x-stamp"] for _ in range(2)] == ["1", "1"]


def test_hits_and_misses_are_counted(guide: Server) -> None:
    before = guide.get("/stats")
    ask(guide, "/counted/figures")
    ask(guide, "/counted/figures")
    after = guide.get("/stats")
    assert after["cache_hits"] - before["cache_hits"] == 1
    # The figures themselves are asked for, too.
    assert after["cache_misses"] - before["cache_misses"] == 2
    assert after["cache_sets"] - before["cache_sets"] == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_guides_own_logic_and_own_keys_are_listened_to(own_logic: Server, kind: str) -> None:
    runs = [ask(own_logic, f"/{kind}/x", User_Id=user).json()["run"] for user in ("1", "2", "1", "2")]
    assert runs == [1, 2, 1, 2]
    past = ask(own_logic, f"/{kind}/x", User_Id="1", Bypass_Cache="1")
    assert (past["x-cache"], past.json()["run"]) == (None, 3)


def test_the_guides_own_logic_passes_failures_on(own_logic: Server) -> None:
    failed = ask(own_logic, "/sync/fail")
    assert (failed.status, failed["x-cache"]) == (500, None)


CONTROL = """
import asyncio, json, sys
from types import SimpleNamespace
from catzilla import Catzilla, JSONResponse, Request, Response
from catzilla.cache_middleware import SmartCacheMiddleware

app = Catzilla(log_requests=False, show_banner=False)

def attempt(work):
    try:
        return repr(work())
    except Exception as error:
        return type(error).__name__

@app.get("/guide/{user_id}")
async def get_user(user_id: int):
    return {"user_id": user_id}

@app.get("/told")
def told(request: Request):
    middleware = SmartCacheMiddleware()
    return JSONResponse({
        "add_middleware": hasattr(app, "add_middleware"),
        "process_request": attempt(lambda: asyncio.run(middleware.process_request(request))),
        "url": hasattr(request, "url"), "state": hasattr(request, "state"), "headers": dict(request.headers),
        "response headers": hasattr(Response(), "headers"),
    })

app.listen(port=int(sys.argv[1]), host="127.0.0.1")
"""


def test_control_the_framework_by_itself_cannot_use_its_middleware(tmp_path: Path) -> None:
    for server in serve(CONTROL, tmp_path):
        assert server.get("/told") == {
            "add_middleware": False,
            "process_request": "AttributeError",
            "url": False,
            "state": False,
            "headers": {},
            "response headers": False,
        }
        assert ask(server, "/guide/7").status == 500, "a handler of the guide that the framework cannot call"


REFUSED = """
import sys
from catzilla import Catzilla, JSONResponse, Request
from catzilla_cache.cache_middleware import SmartCacheMiddleware
from catzilla_cache.errors import CacheValueError
from catzilla_cache.integrations.catzilla import install

app = Catzilla(log_requests=False, show_banner=False)
middleware = SmartCacheMiddleware()

def refused(*arguments):
    try:
        install(*arguments)
    except CacheValueError as error:
        return str(error)

told = [refused(object(), middleware), refused(app, object()), refused(app, middleware), refused(app, middleware), refused(Catzilla, middleware)]

@app.get("/told")
def tell(request: Request):
    return JSONResponse({"told": told})

app.listen(port=int(sys.argv[1]), host="127.0.0.1")
"""


def test_what_cannot_be_installed_is_refused_and_says_why(tmp_path: Path) -> None:
    for server in serve(REFUSED, tmp_path):
        told: List[Optional[str]] = server.get("/told")["told"]
        assert told[2] is None
        expected = [
            "knows applications of Catzilla 0.2.3",
            "process_request and process_response",
            "",
            "already",
            "not in its class",
        ]
        for message, part in zip(told, expected):
            assert message is None or part in message
        assert [message is None for message in told] == [False, False, True, False, False]
