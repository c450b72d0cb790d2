"""An ASGI application by which an operator purges responses and reads figures over HTTP. Off unless a program puts it somewhere, with a token.

    POST /purge   {"url": "https://example.org/a"} | {"tag": "news"} | {"pattern": "/api/*"} | {"all": true}, each with "soft": true if wanted
    GET  /stats   what `get_stats()` returns
    GET  /health  which tiers can be used now

Every request needs ``Authorization: Bearer <token>``. Answers are JSON, and none of them may be cached.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, MutableMapping, Optional, Sequence, Tuple, Union

from catzilla_cache._loading_async import off_loop
from catzilla_cache.errors import CacheError, CacheValueError

if TYPE_CHECKING:
    from catzilla_cache.http.middleware import ResponseCache

Message = MutableMapping[str, Any]
Answer = Tuple[int, Dict[str, Any]]

# Shorter ones are guessed. Arbitrary: 96 bits if it is made of random letters and digits.
_SHORTEST_TOKEN = 16

# A command is a line; what is longer is no command.
_LONGEST_BODY = 64 * 1024

_SUBJECTS = ("url", "tag", "pattern", "all")


class AdminApp:
    """The application for one middleware. ``token``: who knows it may do everything; several for those who change them."""

    def __init__(self, middleware: ResponseCache, token: Union[str, Sequence[str]]) -> None:
        tokens = [token] if isinstance(token, str) else list(token)
        for each in tokens:
            if not isinstance(each, str) or len(each) < _SHORTEST_TOKEN or not each.isascii():
                raise CacheValueError(f"a token of the cache's administration is {_SHORTEST_TOKEN} or more letters and digits")
        if not tokens:
            raise CacheValueError("the cache's administration needs a token")
        self._middleware = middleware
        self._tokens = [each.encode() for each in tokens]

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the cache's administration speaks HTTP, not {scope['type']}")
        fields: List[Tuple[bytes, bytes]] = []
        try:
            if not self._is_known(scope):
                status, told = 401, {"error": "send the token: Authorization: Bearer <token>"}
                fields.append((b"www-authenticate", b"Bearer"))
            else:
                status, told = await self._answer(scope, receive)
        except CacheError as error:
            status, told = (400 if isinstance(error, CacheValueError) else 503), {"error": str(error)}
        body = json.dumps(told, default=str).encode()
        fields += [
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"),
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _is_known(self, scope: MutableMapping[str, Any]) -> bool:
        told = [value for name, value in scope.get("headers", ()) if name.lower() == b"authorization"]
        if len(told) != 1:
            return False
        kind, _, token = told[0].partition(b" ")
        # All of them are compared, in a time that does not depend on how much of a token is right.
        right = [hmac.compare_digest(token.strip(), each) for each in self._tokens]
        return kind.lower() == b"bearer" and any(right)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]]) -> Answer:
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        methods = {"/purge": ("POST",), "/stats": ("GET", "HEAD"), "/health": ("GET", "HEAD")}.get(path.rstrip("/"))
        if methods is None:
            return 404, {"error": f"there is no {path!r}: /purge, /stats and /health are"}
        if scope["method"] not in methods:
            return 405, {"error": f"{path} takes {' and '.join(methods)}"}
        if path.rstrip("/") == "/stats":
            return 200, await off_loop(self._middleware.get_stats)
        if path.rstrip("/") == "/health":
            return 200, await off_loop(self._middleware.cache.health_check)
        body = await _body(receive)
        if body is None:
            return 413, {"error": f"a command has at most {_LONGEST_BODY} bytes"}
        return await self._purge(body)

    async def _purge(self, body: bytes) -> Answer:
        try:
            command = json.loads(body)
        except ValueError as error:
            return 400, {"error": f"the command is not JSON: {error}"}
        if not isinstance(command, dict):
            return 400, {"error": 'a command is an object such as {"tag": "news"}'}
        unknown = [name for name in command if name not in (*_SUBJECTS, "soft")]
        subjects = [name for name in _SUBJECTS if command.get(name) not in (None, False)]
        soft = command.get("soft", False)
        if unknown or len(subjects) != 1 or not isinstance(soft, bool):
            return 400, {"error": f"a command has one of {', '.join(_SUBJECTS)}, and perhaps soft: true or false"}
        subject = subjects[0]
        value = command[subject]
        if subject == "all":
            if value is not True:
                return 400, {"error": '"all" is true'}
            return 200, {"purged": await self._off(self._middleware.purge_all, soft)}
        if not isinstance(value, str) or not value:
            return 400, {"error": f"{subject!r} is text"}
        purge = {"url": self._middleware.purge_url, "tag": self._middleware.purge_tag, "pattern": self._middleware.purge_pattern}
        return 200, {"purged": await self._off(purge[subject], value, soft)}

    async def _off(self, call: Callable[..., int], *arguments: Any) -> int:
        return int(await off_loop(call, *arguments))


async def _body(receive: Callable[[], Awaitable[Message]]) -> Optional[bytes]:
    """The body of a request; None when it is too long."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _LONGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _live(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
