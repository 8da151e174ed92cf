"""A websocket client that does as it is told, also what no library would: raw frames, silence, reading at a crawl."""

import base64
import json
import os
import socket
import struct
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A client's frame; the mask is zero, so that the payload stands in it as it is."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size, mask = len(payload), 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 2**16:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


class RawSocket:
    """An open websocket on a plain socket."""

    def __init__(self, url: str, path: str, receive_bytes: int = 0, **headers: str) -> None:
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect(address(url))
        self._kept = b""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": urlsplit(url).netloc, "Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **headers}  # fmt: skip
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        while b"\r\n\r\n" not in self._kept:
            self._more(1)
        said, _, self._kept = self._kept.partition(b"\r\n\r\n")
        self.status = int(said.split()[1])
        self.said = said.decode("latin-1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def say(self, **message: Any) -> None:
        self.send(frame(TEXT, json.dumps(message).encode()))

    def _more(self, count: int, bytes_per_s: float = 0) -> None:
        got = self.socket.recv(count)
        if not got:
            raise ConnectionError("the server has gone")
        if bytes_per_s:
            time.sleep(len(got) / bytes_per_s)
        self._kept += got

    def _take(self, count: int, bytes_per_s: float) -> bytes:
        while len(self._kept) < count:
            self._more(min(1024, count - len(self._kept)) if bytes_per_s else 65_536, bytes_per_s)
        taken, self._kept = self._kept[:count], self._kept[count:]
        return taken

    def receive(self, bytes_per_s: float = 0) -> tuple[int, bytes]:
        """The next frame, read no faster than that; pings are answered. Raises ConnectionError at the end."""
        first, size = self._take(2, bytes_per_s)
        if size == 126:
            size = struct.unpack("!H", self._take(2, bytes_per_s))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._take(8, bytes_per_s))[0]
        payload = self._take(size, bytes_per_s)
        if first & 15 == PING:
            self.send(frame(PONG, payload))
        return first & 15, payload

    def message(self, kind: str) -> Any:
        """The next JSON message of a type; others are passed over."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                raise ConnectionError(f"closed with {close_code(payload)}")
            if opcode == TEXT and (found := json.loads(payload))["type"] == kind:
                return found

    def closed(self) -> int | None:
        """The close code that comes in the end; None where the connection ends without one."""
        try:
            while True:
                opcode, payload = self.receive()
                if opcode == CLOSE:
                    return close_code(payload)
        except (ConnectionError, TimeoutError):
            return None


def close_code(payload: bytes) -> int:
    return int(struct.unpack("!H", payload[:2])[0]) if len(payload) >= 2 else 1005
