"""A camera that is pulled over RTSP: patience with limits, reconnection with jittered backoff, no word of its URL."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import av
from av.container import InputContainer

from perception.messages import Fault, OpenStream, Packet, SessionEnded, SessionStarted
from perception.sources.assemble import ASSEMBLED, access_units
from perception.sources.backoff import Backoff
from perception.sources.base import Inbox
from perception.sources.demux import READ_ERRORS, no_picture, packets, tracks
from perception.sources.turnstile import Turnstile

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = (5.0, 3.5)
"""To open, and between two packets; FFmpeg waits the second one twice."""
_PICTURE_S: Final = 8.0
"""How long a camera may send sound without a picture."""
_OPTIONS: Final = {
    # By UDP only where a camera speaks nothing else.
    "rtsp_flags": "prefer_tcp",
    "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls,udp",
    "flags": "low_delay",
    # The session description names the tracks, and the decoders are ours: with nothing to probe the first keyframe is
    # here at once, where FFmpeg's defaults hold back five seconds.
    "analyzeduration": "1",
    "probesize": "32",
    "fpsprobesize": "0",
}
_TIMEOUT: Final = Fault("camera_timeout", "the camera does not answer in time; it is tried again")
_CLOSED: Final = Fault("camera_closed", "the camera closed the connection; it is tried again")


Vetting = Callable[[str], AbstractContextManager[Fault | None]]
"""Entered while FFmpeg opens a URL: why it must not; handed in, since it needs a socket of its own."""


def trusted(url: str) -> AbstractContextManager[Fault | None]:
    """The `Vetting` of who trusts the camera."""
    return nullcontext()


class RtspReader:
    """Connects, reads, and connects again for ever."""

    endless: Final = True

    def __init__(
        self, opened: OpenStream, url: str, vetting: Vetting = trusted, turnstile: Turnstile | None = None
    ) -> None:
        """turnstile: that of all cameras; None: this one waits for no other."""
        self.stream, self._url, self._vetting = opened.stream, url, vetting
        self._turnstile = turnstile or Turnstile(0.0)
        self.session = 0

    def run(self, inbox: Inbox, stop: threading.Event) -> None:
        """See `Reader.run`."""
        backoff = Backoff(random.uniform)
        while self._turnstile.wait(stop):
            began = time.monotonic()
            fault, pictures = self._connect_and_read(inbox, stop)
            if stop.is_set():
                return
            inbox.put(SessionEnded(self.stream, self.session, False, fault, time.monotonic_ns() // 1000))
            log.warning("camera %s: %s; connecting again", self.stream, fault.code)
            stop.wait(backoff.pause_s(time.monotonic() - began, gave_pictures=pictures > 0))

    def _connect_and_read(self, inbox: Inbox, stop: threading.Event) -> tuple[Fault, int]:
        """One session: why it ended, and how many packets of picture it gave."""
        self.session += 1
        with self._vetting(self._url) as refused:
            opened = refused or self._open()
        if isinstance(opened, Fault):
            return opened, 0
        with opened as container:
            chosen = tracks(container)
            if not chosen:
                return no_picture(container, "camera"), 0
            return self._read(container, chosen, inbox, stop)

    def _open(self) -> InputContainer | Fault:
        """Unparsed where the pictures are put together here, parsed by FFmpeg where its stamps are whole anyway."""
        opened = self._open_as(_OPTIONS | {"fflags": "noparse"})
        if isinstance(opened, Fault) or _is_assembled(tracks(opened)):
            return opened
        opened.close()
        return self._open_as(_OPTIONS)

    def _open_as(self, options: dict[str, str]) -> InputContainer | Fault:
        began = time.monotonic()
        try:
            return av.open(self._url, options=dict(options), timeout=_TIMEOUT_S, metadata_errors="replace")
        except READ_ERRORS as error:
            # What FFmpeg makes of an interrupted wait depends on where it was.
            late = time.monotonic() - began >= 0.95 * _TIMEOUT_S[0]
            return _TIMEOUT if late else _fault(error, opening=True)

    def _read(
        self, container: InputContainer, chosen: list[Any], inbox: Inbox, stop: threading.Event
    ) -> tuple[Fault, int]:
        now_us, wall_us = time.monotonic_ns() // 1000, time.time_ns() // 1000
        inbox.put(SessionStarted(self.stream, self.session, now_us, wall_us))
        pictures, seen_us = 0, now_us
        try:
            for packet in self._packets(container, chosen):
                if stop.is_set():
                    break
                if packet.track == chosen[0].index:
                    pictures, seen_us = pictures + 1, packet.arrival_us
                elif packet.arrival_us - seen_us > _PICTURE_S * 1_000_000:
                    return _TIMEOUT, pictures
                inbox.put(packet)
        except READ_ERRORS as error:
            return _fault(error, opening=False), pictures
        return _CLOSED, pictures

    def _packets(self, container: InputContainer, chosen: list[Any]) -> Iterator[Packet]:
        # Where FFmpeg parses, it leaves each track's first packet without a stamp; it counts from that one.
        first_us = None if _is_assembled(chosen) else 0
        found = (one for _, one in packets(container.demux(chosen), self.stream, self.session, 0, first_us))
        return access_units(found, chosen[0].index) if _is_assembled(chosen) else found


def _is_assembled(chosen: list[Any]) -> bool:
    return not chosen or chosen[0].codec_context.name in ASSEMBLED


def _fault(error: Exception, *, opening: bool) -> Fault:
    """What to tell of a failed connection: never FFmpeg's text, which holds the URL with its password."""
    if isinstance(error, av.error.ExitError | TimeoutError):
        return _TIMEOUT
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return Fault("camera_refused", "the camera refuses the user or password; correct the stream's URL")
    if isinstance(error, av.error.HTTPClientError):
        return Fault("camera_refused", "the camera does not serve this address; correct the stream's URL")
    if isinstance(error, av.error.HTTPError):
        return Fault("camera_refused", "the camera says that it cannot serve now; it is tried again")
    if not opening or isinstance(error, av.error.EOFError | ConnectionResetError | BrokenPipeError):
        return _CLOSED
    return Fault("camera_unreachable", "the camera cannot be reached; check its address and the network")
