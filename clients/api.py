"""The REST interface of a server, for programs: requests in, the answers' JSON out, refusals as `ApiError`."""

import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote

import httpx

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_PATIENCE: Final = httpx.Timeout(10.0, read=600.0)

Json = dict[str, Any]


class ApiError(Exception):
    """The server refused: its code and what to do. status: of the HTTP answer, 0 where there was none."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Call:
    """One request, before anyone sends it."""

    method: str
    path: str
    query: Json | None = None
    body: Json | None = None
    picture: bytes | None = None
    kind: str | None = None

    def parts(self) -> Json:
        """As httpx takes it."""
        parts = {"method": self.method, "url": self.path, "params": _given(self.query or {})}
        if self.picture is not None:
            return {**parts, "content": self.picture, "headers": {"content-type": self.kind}}
        return {**parts, "json": self.body}


class Api:
    """A connection to one server. url and key default to OMNILIVE_URL and OMNILIVE_API_KEY.

    Every method raises ApiError: the server's own code, or `unreachable`, `connection_lost`, `bad_answer`.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.url, options = connection(url, key)
        self._http = httpx.Client(**options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Json:
        """GET a resource."""
        return self._json(Call("GET", path, query))

    def post(self, path: str, body: Json) -> Json:
        """POST a JSON body."""
        return self._json(Call("POST", path, body=body))

    def delete(self, path: str, **query: Any) -> Json:
        """DELETE a resource; {} where the server answers nothing."""
        return self._json(Call("DELETE", path, query))

    def picture(self, path: str) -> bytes:
        """GET a picture."""
        return self._send(Call("GET", path)).content

    def export(self, stream: str, file: BinaryIO) -> int:
        """A stream's archive, written into a file as it comes; its length. Raises OSError of the file too."""
        written = 0
        try:
            with self._http.stream("GET", resource("streams", stream, "memory")) as response:
                if not response.is_success:
                    response.read()
                check(response)
                for piece in response.iter_bytes():
                    written += file.write(piece)
        except httpx.HTTPError as error:
            raise lost(self.url, error) from error
        return written

    def take_in(self, stream: str, file: BinaryIO) -> Json:
        """A new stream with the memory of an archive."""
        try:
            return body_of(check(self._http.put(resource("streams", stream, "memory"), content=_pieces(file))))
        except httpx.HTTPError as error:
            raise lost(self.url, error) from error

    def add(self, stream: str, source: Json, **options: Any) -> Json:
        """Add a stream."""
        return self.post("/v1/streams", {"id": stream, "source": source, **options})

    def stream(self, stream: str) -> Json:
        """How a stream fares."""
        return self.get(resource("streams", stream))

    def remove(self, stream: str) -> None:
        """Stop a stream and forget it whole."""
        self.delete(resource("streams", stream))

    def events(self, stream: str, **query: Any) -> list[Json]:
        """All committed events that the query (since, until) asks for, oldest first."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = self.get(resource("streams", stream, "events"), limit=1000, cursor=cursor, **query)
            found += page["events"]
            cursor = page["next_cursor"]
            if cursor is None:
                return sorted(found, key=lambda event: int(event["media_start_us"]))

    def search(self, stream: str, picture: bytes, kind: str = "image/png", limit: int = 5) -> list[Json]:
        """Events by likeness to a picture of this media type, best first."""
        path = resource("streams", stream, "events", "search")
        call = Call("POST", path, {"limit": limit}, picture=picture, kind=kind)
        found: list[Json] = self._json(call)["events"]
        return found

    def ask(self, stream: str, question: str, **options: Any) -> Json:
        """Ask a stream; the whole answer."""
        return self._json(question_call(stream, question, options))

    def ask_streamed(self, stream: str, question: str, **options: Any) -> Iterator[str | Json]:
        """Ask a stream: pieces of the answer's text as they come, at last the whole answer."""
        call = question_call(stream, question, {**options, "stream": True})
        reader = EventReader()
        try:
            with self._http.stream(**call.parts()) as response:
                if not response.is_success:
                    response.read()
                check(response)
                for text in response.iter_text():
                    yield from reader.feed(text)
        except httpx.HTTPError as error:
            raise lost(self.url, error) from error
        reader.close()

    def _json(self, call: Call) -> Json:
        return body_of(self._send(call))

    def _send(self, call: Call) -> httpx.Response:
        try:
            return check(self._http.request(**call.parts()))
        except httpx.HTTPError as error:
            raise lost(self.url, error) from error


def resource(*parts: str) -> str:
    """The path of something under /v1; ids are quoted, so that none of them can name something else."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def server_of(url: str | None, key: str | None) -> tuple[str, dict[str, str]]:
    """Address and headers of the server that is meant. Raises ApiError unreachable for what is no address."""
    key = key or os.environ.get("OMNILIVE_API_KEY")
    address = (url or os.environ.get("OMNILIVE_URL") or DEFAULT_URL).rstrip("/")
    try:
        known = httpx.URL(address).scheme in {"http", "https"}
    except httpx.InvalidURL:
        known = False
    if not known:
        raise ApiError("unreachable", "give the server's address as http://HOST:PORT or https://HOST:PORT")
    return address, {"Authorization": f"Bearer {key}"} if key else {}


def unreachable(url: str, error: BaseException | None = None) -> ApiError:
    """Nobody answers, or somebody whom we do not trust; said without what else an address may hold."""
    place = httpx.URL(url)
    where = f"{place.scheme}://{place.netloc.decode('ascii', 'replace')}"
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
            return ApiError(
                "unreachable", f"the certificate of {where} is not trusted ({why}): name its issuer's in SSL_CERT_FILE"
            )
        error = error.__context__
    return ApiError("unreachable", f"no server answers at {where}: start one with `omnilive serve`, or give --url")


def connection(url: str | None, key: str | None) -> tuple[str, Json]:
    address, headers = server_of(url, key)
    # A proxy of the environment has no business between a client and its own camera server.
    return address, {
        "base_url": address,
        "headers": headers,
        "timeout": _PATIENCE,
        "trust_env": False,
        **_trust(address),
    }


def _trust(address: str) -> Json:
    """Whom the system trusts, or SSL_CERT_FILE names: the same as for the live websocket."""
    return {"verify": ssl.create_default_context()} if address.startswith("https:") else {}


def question_call(stream: str, question: str, options: Json) -> Call:
    return Call("POST", resource("streams", stream, "questions"), body={"question": question, **_given(options)})


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(2**20):
        yield piece


def _given(options: Json) -> Json:
    return {name: value for name, value in options.items() if value is not None}


def check(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        error = response.json()["error"]
        raise ApiError(str(error["code"]), str(error["message"]), response.status_code)
    except (ValueError, KeyError, TypeError):
        raise ApiError("bad_answer", f"the server answered {response.status_code}", response.status_code) from None


def body_of(response: httpx.Response) -> Json:
    if not response.content:
        return {}
    try:
        body: Json = response.json()
    except ValueError:
        raise ApiError("bad_answer", "what answers there is no OmniLive server", response.status_code) from None
    return body


def lost(url: str, error: httpx.HTTPError) -> ApiError:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return unreachable(url, error)
    return ApiError("connection_lost", "the connection to the server was lost before the answer was complete")


class EventReader:
    """Server-sent events of an answer (WHATWG HTML, 9.2), as far as a server of ours uses them."""

    def __init__(self) -> None:
        self._rest = ""
        self._name = ""
        self._ended = False

    def feed(self, text: str) -> Iterator[str | Json]:
        """What some of the body completes: pieces of the text, the answer. Raises ApiError for an error event."""
        # Not splitlines: it also splits at characters that an answer may contain.
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.startswith("event:"):
                self._name = line[6:].strip()
            elif line.startswith("data:"):
                yield self._data(json.loads(line[5:]))

    def close(self) -> None:
        """The response has ended. Raises ApiError if the answer has not."""
        if not self._ended:
            raise ApiError("connection_lost", "the server closed the connection before the answer was complete")

    def _data(self, data: Json) -> str | Json:
        if self._name == "error":
            raise ApiError(str(data["error"]["code"]), str(data["error"]["message"]))
        self._ended = self._ended or self._name == "done"
        return data if self._name == "done" else str(data["text"])
