"""The REST interface of a server, for programs: requests in, the answers' JSON out, refusals as `ApiError`."""

import json
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import httpx

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_PATIENCE: Final = httpx.Timeout(10.0, read=600.0)

Json = dict[str, Any]


class ApiError(Exception):
    """The server refused: its code and what to do."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Api:
    """A connection to one server. url and key default to OMNILIVE_URL and OMNILIVE_API_KEY."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        key = key or os.environ.get("OMNILIVE_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = (url or os.environ.get("OMNILIVE_URL") or DEFAULT_URL).rstrip("/")
        # A proxy of the environment has no business between a client and its own camera server.
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_PATIENCE, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Json:
        """GET a resource."""
        return self._json("GET", path, params=_given(query))

    def post(self, path: str, body: Json) -> Json:
        """POST a JSON body."""
        return self._json("POST", path, json=body)

    def delete(self, path: str, **query: Any) -> Json:
        """DELETE a resource; {} where the server answers nothing."""
        return self._json("DELETE", path, params=_given(query))

    def bytes(self, path: str) -> bytes:
        """GET a picture."""
        return self._checked(self._send("GET", path)).content

    def add(self, stream: str, source: Json, **options: Any) -> Json:
        """Add a stream."""
        return self.post("/v1/streams", {"id": stream, "source": source, **options})

    def ask(self, stream: str, question: str, **options: Any) -> Json:
        """Ask a stream; the whole answer."""
        return self.post(f"/v1/streams/{stream}/questions", {"question": question, **_given(options)})

    def ask_streamed(self, stream: str, question: str, **options: Any) -> Iterator[str | Json]:
        """Ask a stream: pieces of the answer's text as they come, at last the whole answer."""
        body = {"question": question, "stream": True, **_given(options)}
        try:
            with self._http.stream("POST", f"/v1/streams/{stream}/questions", json=body) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    self._checked(response)
                yield from _events(response.iter_lines())
        except httpx.HTTPError as error:
            raise _unreachable(self.url) from error

    def _json(self, method: str, path: str, **options: Any) -> Json:
        response = self._checked(self._send(method, path, **options))
        body: Json = response.json() if response.content else {}
        return body

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise _unreachable(self.url) from error

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        try:
            error = response.json()["error"]
            raise ApiError(error["code"], error["message"], response.status_code)
        except (ValueError, KeyError, TypeError):
            raise ApiError(
                "server_error", f"the server answered {response.status_code}", response.status_code
            ) from None


def _unreachable(url: str) -> ApiError:
    return ApiError("unreachable", f"no server answers at {url}: start one with `omnilive serve`, or give --url")


def _given(options: Json) -> Json:
    return {name: value for name, value in options.items() if value is not None}


def _events(lines: Iterator[str]) -> Iterator[str | Json]:
    """Server-sent events of an answer (WHATWG HTML, 9.2)."""
    name = ""
    for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data = json.loads(line[5:])
            if name == "delta":
                yield str(data["text"])
            elif name == "error":
                raise ApiError(data["error"]["code"], data["error"]["message"])
            elif name == "done":
                yield data
