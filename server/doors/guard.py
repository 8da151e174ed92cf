"""In front of every route, websockets included: host, origin, key, limits, draining. Raw ASGI: nothing slips by."""

import asyncio
import ipaddress
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from server.core import Core
from server.errors import RequestError, internal_error, not_ready, overfull
from server.keys import ANYONE, Keys, Principal
from server.logs import request_id
from server.views import error_body

logger = logging.getLogger("server.access")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PROTOCOL = "omnilive.v1"
KEY_PROTOCOL = "omnilive.key."

_ARCHIVE = re.compile(r"/v1/streams/[^/]+/memory", re.ASCII)
_OPEN = re.compile(r"/(livez|readyz|assets/.*)?")
_CHANGES = frozenset({"POST", "PUT", "PATCH"})
_GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})
_GOODBYE_S = 1.0


class Guard:
    """Wraps the application; `scope["state"]["principal"]` is set for whoever gets through."""

    def __init__(self, app: App, core: Core, keys: Keys) -> None:
        self._app = app
        self._core = core
        self._keys = keys
        self._under_way = 0
        self.connections: Callable[[], int] = lambda: self._under_way
        """How many there are; a server that sees them from their first byte on says so itself."""
        core.metrics.connections.set_function(self._count)
        self._own_hosts = {config_host(core.config.host), *(host.lower() for host in core.config.security.hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in core.config.security.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        given = headers.get("x-request-id", "")
        name = given if _GOOD_REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        token = request_id.set(name)
        self._under_way += 1
        try:
            await self._admit(scope, headers, receive, _Reply(self._core, scope, send, name, self._partner(headers)))
        finally:
            self._under_way -= 1
            request_id.reset(token)

    def _count(self) -> int:
        return self.connections()

    async def _admit(self, scope: Scope, headers: dict[str, str], receive: Receive, reply: "_Reply") -> None:
        try:
            self._check_place(scope, headers)
            if self.connections() > self._core.config.limits.connections and scope["path"] not in _QUIET:
                raise overfull()
            if reply.is_preflight(headers):
                await reply.allow()
                return
            scope.setdefault("state", {})["principal"] = self.authorise(scope, headers)
            self._check_time(scope)
            if scope["type"] == "http" and not _is_archive(scope):
                receive = await self._take_body(scope, headers, receive)
            await self._app(scope, receive, reply.send)
        except RequestError as error:
            await reply.refuse(error)
        except Exception:
            # The one place where a request ends by an error of ours.
            logger.exception("a request failed")
            await reply.refuse(internal_error())
        finally:
            reply.log()

    def authorise(self, scope: Scope, headers: dict[str, str]) -> Principal:
        """Who this is. Raises RequestError invalid_api_key."""
        self._keys.refresh()
        if not self._keys.required or _OPEN.fullmatch(scope["path"]) is not None:
            return ANYONE
        principal = self._keys.find(_given_key(scope, headers))
        if principal is None:
            raise RequestError("invalid_api_key", "send one of the server's keys as Authorization: Bearer KEY")
        return principal

    # ------------------------------------------------------------ host and origin

    def _check_place(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._is_ours(host, scope):
            raise RequestError("origin_not_allowed", "this Host is not the server's: add it to security.hosts")
        origin = headers.get("origin")
        if origin is None or self._partner(headers) is not None:
            return
        try:
            parts = urlsplit(origin)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
            raise RequestError("origin_not_allowed", "this Origin may not call: add it to security.origins")

    def _partner(self, headers: dict[str, str]) -> str | None:
        """The Origin, where it is a configured one: its pages may read what we answer."""
        origin = headers.get("origin")
        return origin if origin is not None and origin.lower() in self._origins else None

    def _is_ours(self, host: str, scope: Scope) -> bool:
        name = host_name(host)
        if name is None:
            return False
        local = scope.get("server")
        if name in self._own_hosts or host.lower() in self._own_hosts or (local is not None and name == local[0]):
            return True
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _check_time(self, scope: Scope) -> None:
        """Before it has started, the server knows no streams; when it stops, it takes no new work."""
        if not self._core.started and scope["path"].startswith("/v1/") and scope["path"] != "/v1/server":
            raise not_ready("server")
        if self._core.draining and (scope["type"] == "websocket" or scope["method"] in _CHANGES):
            raise RequestError("draining", "the server is stopping: try again in a moment")

    # ------------------------------------------------------------ bodies

    async def _take_body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """Read the body within limits of size and time, then hand it on as one piece."""
        limits = self._core.config.limits
        limit = limits.picture_bytes if scope["path"].endswith("/events/search") else limits.body_bytes
        too_large = RequestError("too_large", f"the body has at most {limit} bytes")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > limit:
            raise too_large
        body = bytearray()
        while True:
            try:
                message = await asyncio.wait_for(receive(), limits.body_timeout_s)
            except TimeoutError:
                raise RequestError("invalid_json", "the body did not come in time: send it again") from None
            if message["type"] != "http.request":
                return _replay(message, receive)
            body += message.get("body", b"")
            if len(body) > limit:
                raise too_large
            if not message.get("more_body", False):
                return _replay({"type": "http.request", "body": bytes(body), "more_body": False}, receive)


def _is_archive(scope: Scope) -> bool:
    """The one body that is too large to be held: its route takes it piece by piece, within limits of its own."""
    return scope["method"] == "PUT" and _ARCHIVE.fullmatch(scope["path"]) is not None


def _replay(first: Message, receive: Receive) -> Receive:
    waiting: list[Message] = [first]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


class _Reply:
    """The way back: knows what was said already, and says refusals in either protocol."""

    def __init__(self, core: Core, scope: Scope, send: Send, name: str, partner: str | None) -> None:
        """partner: the configured origin whose page asks, None where it is our own or none."""
        self._partner = partner
        self._core = core
        self._scope = scope
        self._send = send
        self._name = name
        self._status = 0
        self._began = time.monotonic()

    async def send(self, message: Message) -> None:
        """Pass on what the application says."""
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", []), *self._common()]
        elif kind == "websocket.accept":
            self._status = 101
        elif kind == "websocket.http.response.start":
            self._status = message["status"]
        await self._send(message)

    def is_preflight(self, headers: dict[str, str]) -> bool:
        """Whether a browser asks if a partner's page may ask; it sends no key with that."""
        asks = self._scope["type"] == "http" and self._scope["method"] == "OPTIONS"
        return asks and self._partner is not None and "access-control-request-method" in headers

    async def allow(self) -> None:
        """Yes, it may."""
        await self.send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
        await self.send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: RequestError) -> None:
        """The error instead of what was asked for, unless something was said already."""
        if self._status:
            if self._scope["type"] == "websocket" and self._status == 101:
                await self._close(error)
            return
        self._status = error.status
        body = error_bytes(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", str(error.retry_after_s).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        prefix = "websocket.http" if self._scope["type"] == "websocket" else "http"
        start = {"type": f"{prefix}.response.start", "status": error.status, "headers": [*headers, *self._common()]}
        try:
            await self._send(start)
            await self._send({"type": f"{prefix}.response.body", "body": body})
        except OSError:
            return

    async def _close(self, error: RequestError) -> None:
        """Say why, where anybody listens."""
        said = json.dumps({"type": "error", "id": None, **error_object(error)})
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._send({"type": "websocket.send", "text": said})
                await self._send({"type": "websocket.close", "code": 1011, "reason": "the server failed"})
        except (OSError, RuntimeError):
            return

    def _common(self) -> list[tuple[bytes, bytes]]:
        said = [
            (b"x-request-id", self._name.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        if self._partner is not None:
            said.append((b"access-control-allow-origin", self._partner.encode("latin-1")))
            said.append((b"access-control-expose-headers", b"Retry-After, X-Request-Id"))
            said.append((b"vary", b"Origin"))
        return said

    def log(self) -> None:
        """One line a request, without its query: that may be content."""
        method = "WS" if self._scope["type"] == "websocket" else self._scope["method"]
        self._core.metrics.requests.labels(method if method in _METHODS else "other", str(self._status)).inc()
        level = logging.DEBUG if self._scope["path"] in _QUIET else logging.INFO
        took_ms = (time.monotonic() - self._began) * 1000
        logger.log(level, "%s %s %d %.1f ms", method, _printable(self._scope["path"]), self._status, took_ms)


_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, X-Request-Id"),
    (b"access-control-max-age", b"600"),
]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"})


def error_bytes(error: RequestError) -> bytes:
    """The error object as JSON."""
    return json.dumps(error_object(error)).encode()


def error_object(error: RequestError) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": error_body(error.fault).model_dump()}


def config_host(host: str) -> str:
    """The bound address as it stands in a Host header, without port."""
    return host.strip("[]").lower()


def host_name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where there is none."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", host, re.ASCII)
    return None if match is None else match[1].strip("[]").lower().rstrip(".")


def _headers(scope: Scope) -> dict[str, str]:
    """The first of each header: two of a kind that matter here were refused by the parser or say the same."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found


def _given_key(scope: Scope, headers: dict[str, str]) -> str | None:
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and key:
        return key.strip()
    for protocol in scope.get("subprotocols", []):
        if protocol.startswith(KEY_PROTOCOL):
            return str(protocol[len(KEY_PROTOCOL) :])
    return None


def _printable(path: str) -> str:
    return path[:200].encode("ascii", "backslashreplace").decode().replace("\n", "\\n").replace("\r", "\\r")
