"""A camera that answers by a script: any status and any description, which a real one would not send."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = tuple[str, list[str], bytes]
Script = Callable[[str], Answer]


@dataclass
class Scripted:
    """A running one, with the methods it was asked and the headers that came with them."""

    port: int
    asked: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)


def describing(sdp: bytes) -> Script:
    """All is well, and this is the description."""

    def answer(method: str) -> Answer:
        match method:
            case "DESCRIBE":
                return "200 OK", ["Content-Type: application/sdp"], sdp
            case "SETUP":
                return "200 OK", ["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"], b""
            case _:
                return "200 OK", ["Session: 1", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"], b""

    return answer


def refusing(status: str, *headers: str) -> Script:
    """The same answer to everything but OPTIONS."""
    return lambda method: ("200 OK", [], b"") if method == "OPTIONS" else (status, list(headers), b"")


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """The camera, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        camera = Scripted(int(listener.getsockname()[1]))
        thread = threading.Thread(target=_accept, args=(listener, camera, script), daemon=True)
        thread.start()
        yield camera
        # Closing alone does not wake a thread in accept().
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket, camera: Scripted, script: Script) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, camera, script), daemon=True).start()


def _serve(client: socket.socket, camera: Scripted, script: Script) -> None:
    with client, client.makefile("rwb") as stream, contextlib.suppress(OSError):
        while line := stream.readline().decode("latin-1"):
            method, sequence = line.split(" ", 1)[0], "0"
            camera.asked.append(method)
            while (header := stream.readline().decode("latin-1").strip()) != "":
                camera.heard.append(header)
                if header.lower().startswith("cseq:"):
                    sequence = header.split(":")[1].strip()
            status, headers, body = script(method)
            head = [f"RTSP/1.0 {status}", f"CSeq: {sequence}", *headers, f"Content-Length: {len(body)}"]
            stream.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body)
            stream.flush()
