"""A camera that is pulled over RTSP: patience with limits, reconnection with jittered backoff, no word of its URL."""

import logging
import random
import threading
import time
from typing import Final

import av
from av.container import InputContainer

from perception.messages import Fault, OpenStream, SessionEnded, SessionStarted
from perception.sources.base import Inbox
from perception.sources.demux import packets

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = (5.0, 5.0)
"""To open, and between two packets."""
_BACKOFF_S: Final = 1.0
_BACKOFF_MOST_S: Final = 60.0
_OPTIONS: Final = {
    "rtsp_transport": "tcp",
    "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls,udp",
    "flags": "low_delay",
    # The session description names the tracks, and the decoders are ours: with nothing to probe the first keyframe is
    # here at once, where FFmpeg's defaults hold back five seconds.
    "analyzeduration": "1",
    "probesize": "32",
    "fpsprobesize": "0",
}


class RtspReader:
    """Connects, reads, and connects again for ever."""

    def __init__(self, opened: OpenStream, url: str) -> None:
        self._stream, self._url = opened.stream, url
        self._session = 0

    def run(self, inbox: Inbox, stop: threading.Event) -> None:
        """See `Reader.run`."""
        backoff_s = _BACKOFF_S
        while not stop.is_set():
            began = time.monotonic()
            fault, frames = self._connect_and_read(inbox, stop)
            if stop.is_set():
                return
            inbox.put(SessionEnded(self._stream, self._session, False, fault, time.monotonic_ns() // 1000))
            log.warning("camera %s: %s; connecting again", self._stream, fault.code)
            backoff_s = _BACKOFF_S if frames else min(_BACKOFF_MOST_S, backoff_s * 2)
            # Never sooner than a second after the last attempt, and not in step with other cameras.
            pause_s = max(1.0 - (time.monotonic() - began), backoff_s * random.uniform(0.5, 1.0))  # noqa: S311
            stop.wait(pause_s)

    def _connect_and_read(self, inbox: Inbox, stop: threading.Event) -> tuple[Fault, int]:
        """One session: why it ended, and how many packets it gave."""
        self._session += 1
        try:
            container = av.open(self._url, options=dict(_OPTIONS), timeout=_TIMEOUT_S)
        except (OSError, ValueError) as error:
            return _fault(error, opening=True), 0
        with container:
            return self._read(container, inbox, stop)

    def _read(self, container: InputContainer, inbox: Inbox, stop: threading.Event) -> tuple[Fault, int]:
        if not container.streams.video:
            return Fault("source_invalid", "the camera sends no picture"), 0
        now_us, wall_us = time.monotonic_ns() // 1000, time.time_ns() // 1000
        inbox.put(SessionStarted(self._stream, self._session, now_us, wall_us))
        count = 0
        try:
            # FFmpeg counts RTP time from each track's first packet, and leaves that one without a stamp.
            for packet in packets(container, self._stream, self._session, 0, first_us=0):
                if stop.is_set():
                    break
                inbox.put(packet)
                count += 1
        except (OSError, ValueError) as error:
            return _fault(error, opening=False), count
        return Fault("camera_closed", "the camera closed the connection; it is tried again"), count


def _fault(error: Exception, *, opening: bool) -> Fault:
    """What to tell of a failed connection: never FFmpeg's text, which holds the URL with its password."""
    if isinstance(error, av.error.ExitError | TimeoutError):
        return Fault("camera_timeout", "the camera does not answer in time; it is tried again")
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return Fault("camera_refused", "the camera refuses the user or password; correct the stream's URL")
    if isinstance(error, av.error.HTTPClientError):
        return Fault("camera_refused", "the camera does not serve this address; correct the stream's URL")
    if not opening or isinstance(error, av.error.EOFError | ConnectionResetError | BrokenPipeError):
        return Fault("camera_closed", "the camera closed the connection; it is tried again")
    return Fault("camera_unreachable", "the camera cannot be reached; check its address and the network")
