"""A small RTSP camera that plays a file over and over, for tests and benchmarks: H.264 or H.265 and AAC, TCP or UDP.

The protocol is RTSP/1.0 (RFC 2326); `evaluation.rtp` makes the packets. A camera can die and come back, stay mute
(accepts, never answers), fall silent (answers, sends nothing), slam the door (accepts and closes), ask for a password,
speak one transport only, and send whatever programme it is given, so that a server's patience can be tested.
Run it by hand: `python -m evaluation.rtsp_camera FILE [PORT]`.
"""

import base64
import contextlib
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Final, Literal, Protocol, Self

from evaluation.rtp import Film, Piece, RtpSender, read_film

Behaviour = Literal["normal", "mute", "silent", "slam"]
Transport = Literal["tcp", "udp"]
Programme = Callable[[], Iterable[Piece]]
"""What is sent to one client, in the order of `at_s`, counted from its PLAY."""

_REPORT_S: Final = 5.0
"""Between two sender reports of a track."""


class RtspCamera:
    """Serves a film, or the file at a path, at `url`: to any number of clients at once, each from its beginning.

    user and password: ask for basic authentication. loop: start again at the end, else close the connection.
    programme: what to send in the place of the film. transports: those that a client may choose.
    """

    def __init__(
        self,
        media: str | Film,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str | None = None,
        password: str = "",
        loop: bool = True,
        behaviour: Behaviour = "normal",
        programme: Programme | None = None,
        transports: Collection[Transport] = ("tcp", "udp"),
    ) -> None:
        self.film = read_film(media) if isinstance(media, str) else media
        self.behaviour: Behaviour = behaviour
        self.programme: Programme = programme or (self._endless if loop else self._once)
        self.transports = transports
        self.connected_s: list[float] = []
        """When each client that ever came connected, on the monotonic clock."""
        self.sdp = self.film.sdp
        self.used: Transport | None = None
        """What the newest client chose."""
        self._user, self._password = user, password
        self._host, self._port = host, port
        self._listener: socket.socket | None = None
        self._sessions: list[_Session] = []

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def connections(self) -> int:
        """How many clients have ever connected."""
        return len(self.connected_s)

    @property
    def url(self) -> str:
        """Its address, with user and password where it asks for them."""
        userinfo = f"{self._user}:{self._password}@" if self._user is not None else ""
        return f"rtsp://{userinfo}127.0.0.1:{self._port}/live"

    def start(self) -> Self:
        """Listen; on the same port again after `stop`."""
        listener = socket.create_server((self._host, self._port), backlog=64)
        self._port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="rtsp-camera", daemon=True).start()
        return self

    def stop(self) -> None:
        """Die: refuse new clients and drop the present ones, without a word."""
        if self._listener is not None:
            # A thread that blocks in accept() wakes up only by shutdown, not by close.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop()

    def show(self, film: Film) -> None:
        """Another film from now on: clients are dropped, and find it when they come again."""
        self.film, self.sdp = film, film.sdp
        self.drop()

    def drop(self) -> None:
        """End the connections that there are; who comes again is served."""
        for session in self._sessions:
            session.close()
        self._sessions.clear()

    def authorised(self, header: str) -> bool:
        """Whether an Authorization header is the right one."""
        if self._user is None:
            return True
        token = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        return header == f"Basic {token}"

    def _endless(self) -> Iterable[Piece]:
        return self.film.endless()

    def _once(self) -> Iterable[Piece]:
        return self.film.pieces_from(0.0)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connected_s.append(time.monotonic())
            if self.behaviour == "slam":
                client.close()
                continue
            session = _Session(self, client)
            self._sessions.append(session)
            threading.Thread(target=session.serve, name="rtsp-session", daemon=True).start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class _Way(Protocol):
    """How a track's packets reach the client."""

    def send(self, packets: Iterable[bytes]) -> None:
        """RTP packets. Raises OSError when the client is gone."""

    def send_report(self, report: bytes) -> None:
        """An RTCP packet."""


@dataclass
class _Request:
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class _Session:
    """One client: requests are answered on this thread, media is pumped on another after PLAY."""

    def __init__(self, camera: RtspCamera, client: socket.socket) -> None:
        self._camera = camera
        self._socket = client
        # Each write is a whole answer or picture: nothing is to wait for more.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._closed = threading.Event()
        self._sending = threading.Lock()
        self._ways: dict[int, _Way] = {}
        self._ports: list[socket.socket] = []

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for port in self._ports:
            port.close()

    def serve(self) -> None:
        try:
            with self._socket.makefile("rb") as reader:
                while not self._closed.is_set():
                    if self._camera.behaviour == "mute":
                        if not reader.read(1):
                            return
                        continue
                    request = _read_request(reader)
                    if request is None or not self._answer(request):
                        return
        except (OSError, ValueError):
            return
        finally:
            self.close()

    def send(self, data: bytes) -> None:
        """Bytes of the connection. Raises OSError when it is closed."""
        if self._closed.is_set():
            raise ConnectionResetError
        with self._sending:
            self._socket.sendall(data)

    # ------------------------------------------------------------ requests

    def _answer(self, request: _Request) -> bool:
        """Reply to one request; False ends the connection."""
        if not self._camera.authorised(request.headers.get("authorization", "")):
            self._reply(request, "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'])
            return True
        match request.method:
            case "OPTIONS":
                self._reply(request, "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"])
            case "DESCRIBE":
                headers = [f"Content-Base: {request.url.rstrip('/')}/", "Content-Type: application/sdp"]
                self._reply(request, "200 OK", headers, self._camera.sdp)
            case "SETUP":
                self._setup(request)
            case "PLAY":
                self._reply(request, "200 OK", ["Session: 1", "Range: npt=0-"])
                if self._camera.behaviour == "normal":
                    threading.Thread(target=self._pump, name="rtsp-pump", daemon=True).start()
            case "TEARDOWN":
                self._reply(request, "200 OK", ["Session: 1"])
                return False
            case _:
                self._reply(request, "200 OK", ["Session: 1"])
        return True

    def _setup(self, request: _Request) -> None:
        track, wanted = int(request.url.rsplit("=", 1)[-1]), request.headers.get("transport", "")
        interleaved = re.search(r"interleaved=(\d+)-(\d+)", wanted)
        ports = re.search(r"client_port=(\d+)-(\d+)", wanted)
        if interleaved is not None and "tcp" in self._camera.transports:
            self._camera.used = "tcp"
            self._ways[track] = _Interleaved(self, int(interleaved[1]))
            transport = f"RTP/AVP/TCP;unicast;interleaved={interleaved[1]}-{interleaved[2]}"
        elif interleaved is None and ports is not None and "udp" in self._camera.transports:
            self._camera.used = "udp"
            way = self._ways[track] = _Datagrams(self._socket, int(ports[1]), int(ports[2]))
            self._ports += [way.media, way.control]
            transport = f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={way.server_ports}"
        else:
            self._reply(request, "461 Unsupported Transport", [])
            return
        self._reply(request, "200 OK", [f"Transport: {transport}", "Session: 1"])

    def _reply(self, request: _Request, status: str, headers: list[str], body: str = "") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request.headers.get('cseq', '0')}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    # ------------------------------------------------------------ media

    def _pump(self) -> None:
        """Send the programme at its own pace until it ends or the client goes away."""
        tracks = self._camera.film.tracks
        senders = {track: RtpSender(track, tracks[track].clock) for track in self._ways}
        reported: dict[int, float] = {}
        began = time.monotonic()
        try:
            for piece in self._camera.programme():
                if piece.track not in senders:
                    continue
                if self._closed.wait(max(0.0, piece.at_s - (time.monotonic() - began))):
                    return
                way, sender = self._ways[piece.track], senders[piece.track]
                if piece.at_s - reported.get(piece.track, -_REPORT_S) >= _REPORT_S:
                    reported[piece.track] = piece.at_s
                    way.send_report(sender.report(piece.ticks))
                way.send(sender.packets(piece))
        except OSError:
            return
        finally:
            self.close()


class _Interleaved:
    """Within the connection, framed as RFC 2326 section 10.12 says."""

    def __init__(self, session: _Session, channel: int) -> None:
        self._session, self._channel = session, channel

    def send(self, packets: Iterable[bytes]) -> None:
        head = b"$" + bytes([self._channel])
        # A picture is one write: many small ones would cost more than all the rest.
        self._session.send(b"".join(head + len(one).to_bytes(2, "big") + one for one in packets))

    def send_report(self, report: bytes) -> None:
        self._session.send(b"$" + bytes([self._channel + 1]) + len(report).to_bytes(2, "big") + report)


class _Datagrams:
    """To the client's pair of ports."""

    def __init__(self, connection: socket.socket, media: int, control: int) -> None:
        own, client = connection.getsockname()[0], connection.getpeername()[0]
        self.media, self.control = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for port, number in ((self.media, media), (self.control, control)):
            port.bind((own, 0))
            port.connect((client, number))

    @property
    def server_ports(self) -> str:
        """As a SETUP names them."""
        return f"{self.media.getsockname()[1]}-{self.control.getsockname()[1]}"

    def send(self, packets: Iterable[bytes]) -> None:
        for one in packets:
            self.media.send(one)

    def send_report(self, report: bytes) -> None:
        self.control.send(report)


def _read_request(reader: BinaryIO) -> _Request | None:
    """The next request; interleaved packets that the client sends (RTCP) are skipped. None at the end."""
    read = reader.read
    while True:
        first: bytes = read(1)
        if not first:
            return None
        if first != b"$":
            break
        read(int.from_bytes(read(3)[1:], "big"))
    head = first
    while not head.endswith(b"\r\n\r\n"):
        line: bytes = reader.readline()
        if not line:
            return None
        head += line
    start, *rest = head.decode("latin-1").strip().split("\r\n")
    method, url, _ = start.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    read(int(headers.get("content-length", "0")))
    return _Request(method, url, headers)


def main() -> None:
    """Serve a file until interrupted."""
    with RtspCamera(sys.argv[1], port=int(sys.argv[2]) if len(sys.argv) > 2 else 0) as camera:
        print(f"ready {camera.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
