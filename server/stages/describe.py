"""One question to a camera before FFmpeg talks to it: FFmpeg would follow a redirect to any host, password in hand."""

import re
import socket
import time
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from perception.messages import Fault

_TIMEOUT_S: Final = 4.0
_STATUS_BYTES: Final = 512
_REDIRECT: Final = re.compile(rb"RTSP/\d\.\d\s+3\d\d\b")


def refusal(url: str) -> Fault | None:
    """Why this camera must not be opened: it answers a DESCRIBE without credentials by sending us elsewhere, or not at
    all. None: it may be; what else is wrong with it FFmpeg finds out. Not asked: cameras behind TLS."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "rtsp" or parts.hostname is None:
            return None
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        status = _describe((parts.hostname, parts.port or 554), bare)
    except TimeoutError:
        return Fault("camera_timeout", "the camera does not answer in time; it is tried again")
    except (OSError, ValueError):
        return None
    if _REDIRECT.match(status):
        return Fault("camera_refused", "the camera sends its viewers to another address; use that in the stream's URL")
    return None


def _describe(address: tuple[str, int], url: str) -> bytes:
    """The first line of the answer. Raises OSError, of it TimeoutError, and ValueError for a host that is no name."""
    deadline = time.monotonic() + _TIMEOUT_S
    with socket.create_connection(address, _TIMEOUT_S) as connection:
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
