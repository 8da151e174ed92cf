"""A small RTSP camera that plays a file over and over, for tests and benchmarks: H.264 and AAC, interleaved in TCP.

The protocol is RTSP/1.0 (RFC 2326) with RTP made by FFmpeg's muxer through PyAV. A camera can die and come back, stay
mute (accepts, never answers), fall silent (answers, sends nothing) and ask for a password, so that a server's patience
can be tested. Run it by hand: `python -m evaluation.rtsp_camera FILE [PORT]`.
"""

import base64
import contextlib
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer
from av.stream import Stream

Behaviour = Literal["normal", "mute", "silent"]

_FIRST_PAYLOAD_TYPE = 96
_RTP_PACKET_BYTES = 1400
_LOOP_GAP_S = 0.1
"""Between two rounds of the file: the muxer refuses a time that does not grow."""
_RTCP_TYPES = range(200, 205)


class RtspCamera:
    """Serves `path` at `url`, to any number of clients at once, each from the file's beginning.

    user and password: ask for basic authentication. loop: start again at the end, else close the connection.
    """

    def __init__(
        self,
        path: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str | None = None,
        password: str = "",
        loop: bool = True,
        behaviour: Behaviour = "normal",
    ) -> None:
        self.path = path
        self.behaviour: Behaviour = behaviour
        self.loop = loop
        self.connections = 0
        """How many clients have ever connected."""
        self.sdp = describe(path)
        self._user, self._password = user, password
        self._host, self._port = host, port
        self._listener: socket.socket | None = None
        self._sessions: list[_Session] = []

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

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
        for session in self._sessions:
            session.close()
        self._sessions.clear()

    def authorised(self, header: str) -> bool:
        """Whether an Authorization header is the right one."""
        if self._user is None:
            return True
        token = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        return header == f"Basic {token}"

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            session = _Session(self, client)
            self._sessions.append(session)
            threading.Thread(target=session.serve, name="rtsp-session", daemon=True).start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


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
        self._closed = threading.Event()
        self._sending = threading.Lock()
        self._channels: dict[int, int] = {}

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

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
        interleaved = re.search(r"interleaved=(\d+)-(\d+)", request.headers.get("transport", ""))
        if interleaved is None:
            self._reply(request, "461 Unsupported Transport", [])
            return
        track = int(request.url.rsplit("=", 1)[-1])
        self._channels[track] = int(interleaved[1])
        transport = f"Transport: RTP/AVP/TCP;unicast;interleaved={interleaved[1]}-{interleaved[2]}"
        self._reply(request, "200 OK", [transport, "Session: 1"])

    def _reply(self, request: _Request, status: str, headers: list[str], body: str = "") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request.headers.get('cseq', '0')}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with self._sending:
            self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def send_rtp(self, channel: int, packet: bytes) -> None:
        """One RTP or RTCP packet, framed as RFC 2326 section 10.12 says."""
        if self._closed.is_set():
            raise ConnectionResetError
        number = channel + 1 if packet[1] in _RTCP_TYPES else channel
        with self._sending:
            self._socket.sendall(b"$" + bytes([number]) + len(packet).to_bytes(2, "big") + packet)

    def _pump(self) -> None:
        """Send the file at its own pace until the client goes away."""
        player = _Player(self, self._channels)
        try:
            while not self._closed.is_set():
                player.play_once(self._camera.path)
                if not self._camera.loop:
                    break
        except OSError:
            return
        finally:
            self.close()


class _Sink:
    """The file that FFmpeg's RTP muxer believes it writes: each write is one packet."""

    def __init__(self, session: _Session, channel: int) -> None:
        self._session, self._channel = session, channel

    def write(self, data: bytes) -> int:
        self._session.send_rtp(self._channel, bytes(data))
        return len(data)


class _Player:
    """Sends a file to one session, round after round on one time line."""

    def __init__(self, session: _Session, channels: dict[int, int]) -> None:
        self._session, self._channels = session, channels
        self._muxers: dict[int, tuple[OutputContainer, Stream]] = {}
        self._started = time.monotonic()
        self._base_s = 0.0

    def play_once(self, path: str) -> None:
        end_s, first_s = 0.0, None
        with av.open(path) as container:
            streams = _tracks(container)
            for packet in container.demux(list(streams.values())):
                track = next(number for number, stream in streams.items() if stream.index == packet.stream.index)
                if packet.dts is None or packet.pts is None or track not in self._channels:
                    continue
                at_s = float(packet.dts * packet.time_base)
                first_s = at_s if first_s is None else first_s
                # The time line starts at 0 even where B-frames make the first dts negative.
                at_s -= first_s
                end_s = max(end_s, at_s + float((packet.duration or 0) * packet.time_base))
                self._wait_until(self._base_s + at_s)
                self._send(track, packet, self._base_s - first_s)
        self._base_s += end_s + _LOOP_GAP_S

    def _wait_until(self, media_s: float) -> None:
        ahead = media_s - (time.monotonic() - self._started)
        if ahead > 0:
            time.sleep(ahead)

    def _send(self, track: int, packet: "av.Packet[Any]", shift_s: float) -> None:
        if track not in self._muxers:
            sink = _Sink(self._session, self._channels[track])
            options = {"payload_type": str(_FIRST_PAYLOAD_TYPE + track)}
            muxer = av.open(sink, "w", format="rtp", buffer_size=_RTP_PACKET_BYTES, options=options)
            self._muxers[track] = (muxer, muxer.add_stream_from_template(packet.stream))
        muxer, stream = self._muxers[track]
        shift = round(shift_s / packet.time_base)
        packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
        packet.stream = stream
        muxer.mux(packet)


def describe(path: str) -> str:
    """The session description (SDP, RFC 8866) of a file's first video and first audio track."""
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 127.0.0.1", "t=0 0"]
    with av.open(path) as container:
        for track, stream in _tracks(container).items():
            lines += _describe_video(track, stream) if stream.type == "video" else _describe_audio(track, stream)
    return "\r\n".join(lines) + "\r\n"


def _tracks(container: av.container.InputContainer) -> dict[int, Stream]:
    chosen: list[Stream] = [*container.streams.video[:1], *container.streams.audio[:1]]
    return dict(enumerate(chosen))


def _describe_video(track: int, stream: Stream) -> list[str]:
    extradata = bytes(stream.codec_context.extradata or b"")
    sets = _parameter_sets(extradata)
    sprop = ",".join(base64.b64encode(one).decode() for one in sets)
    number = _FIRST_PAYLOAD_TYPE + track
    return [
        f"m=video 0 RTP/AVP {number}",
        f"a=rtpmap:{number} H264/90000",
        f"a=fmtp:{number} packetization-mode=1; sprop-parameter-sets={sprop}; profile-level-id={sets[0][1:4].hex()}",
        f"a=control:trackID={track}",
    ]


def _describe_audio(track: int, stream: Stream) -> list[str]:
    number, context = _FIRST_PAYLOAD_TYPE + track, cast(AudioCodecContext, stream.codec_context)
    config = bytes(context.extradata or b"").hex()
    mode = "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3"
    return [
        f"m=audio 0 RTP/AVP {number}",
        f"a=rtpmap:{number} MPEG4-GENERIC/{context.sample_rate}/{context.channels}",
        f"a=fmtp:{number} {mode};config={config}",
        f"a=control:trackID={track}",
    ]


def _parameter_sets(avcc: bytes) -> list[bytes]:
    """SPS and PPS out of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.2.4.1)."""
    sets: list[bytes] = []
    position, counts = 6, [avcc[5] & 31]
    for kind in range(2):
        if kind == 1:
            counts.append(avcc[position])
            position += 1
        for _ in range(counts[kind]):
            length = int.from_bytes(avcc[position : position + 2], "big")
            sets.append(avcc[position + 2 : position + 2 + length])
            position += 2 + length
    return sets


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
