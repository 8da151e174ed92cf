"""One question to a camera before FFmpeg talks to it: FFmpeg would follow a redirect to any host, password in hand."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from perception.messages import Fault

_TIMEOUT_S: Final = 4.0
_STATUS_BYTES: Final = 512
_REDIRECT: Final = re.compile(rb"RTSP/\d\.\d\s+3\d\d\b")


@contextmanager
def vetted(url: str) -> Iterator[Fault | None]:
    """Why this camera must not be opened: it answers a DESCRIBE without credentials by sending us elsewhere, or not at
    all. None: it may be; what else is wrong with it FFmpeg finds out. Not asked: cameras behind TLS.

    The connection is held until the context is left: a server that makes its media for who asks takes it down again
    with the last of them, and would refuse who comes at that moment.
    """
    with ExitStack() as held:
        yield _refusal(url, held)


def _refusal(url: str, held: ExitStack) -> Fault | None:
    try:
        parts = urlsplit(url)
        if parts.scheme != "rtsp" or parts.hostname is None:
            return None
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        connection = held.enter_context(socket.create_connection((parts.hostname, parts.port or 554), _TIMEOUT_S))
        status = _describe(connection, bare)
    except TimeoutError:
        return Fault("camera_timeout", "the camera does not answer in time; it is tried again")
    except (OSError, ValueError):
        return None
    if _REDIRECT.match(status):
        return Fault("camera_refused", "the camera sends its viewers to another address; use that in the stream's URL")
    return None


def _describe(connection: socket.socket, url: str) -> bytes:
    """The first line of the answer. Raises OSError, of it TimeoutError."""
    deadline = time.monotonic() + _TIMEOUT_S
    request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    connection.sendall(request.encode())
    status = b""
    while b"\n" not in status and len(status) < _STATUS_BYTES:
        # One that sends a byte now and then is given no longer.
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        received = connection.recv(_STATUS_BYTES)
        if not received:
            break
        status += received
    return status
