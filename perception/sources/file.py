"""A video file as a source: at its own pace, or as fast as it is taken."""

import errno
import threading
import time
from typing import Final

import av
from av.container import InputContainer

from perception.messages import Fault, OpenStream, Pace, Packet, SessionEnded, SessionStarted
from perception.sources.base import Inbox
from perception.sources.demux import packets, tracks

_SHORT_US: Final = 2_000_000
"""A file that ends this much before its own header says is cut off."""


class FileReader:
    """Reads one file, from `resume_us` on. Stamps count from the file's first picture."""

    def __init__(self, opened: OpenStream, path: str, pace: Pace) -> None:
        self._stream, self._path, self._pace = opened.stream, path, pace
        self._resume_us = opened.resume_us

    def run(self, inbox: Inbox, stop: threading.Event) -> None:
        """See `Reader.run`."""
        now_us, wall_us = time.monotonic_ns() // 1000, time.time_ns() // 1000
        inbox.put(SessionStarted(self._stream, 0, now_us, wall_us))
        fault = self._read(inbox, stop)
        if not stop.is_set():
            inbox.put(SessionEnded(self._stream, 0, True, fault, time.monotonic_ns() // 1000))

    def _read(self, inbox: Inbox, stop: threading.Event) -> Fault | None:
        try:
            container = av.open(self._path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR):
                return Fault("source_not_found", "the file is not there or cannot be read")
            return Fault("source_invalid", "the file is not a video that can be read")
        except ValueError:
            return Fault("source_invalid", "the file is not a video that can be read")
        with container:
            if not container.streams.video:
                return Fault("source_invalid", "the file has no picture")
            return self._play(container, inbox, stop)

    def _play(self, container: InputContainer, inbox: Inbox, stop: threading.Event) -> Fault | None:
        origin_us = _origin_us(container)
        if self._resume_us > 0:
            container.seek(self._resume_us + origin_us, backward=True)
        started_us = time.monotonic_ns() // 1000 - self._resume_us
        last_us = 0
        try:
            for packet in packets(container, self._stream, 0, origin_us):
                if not self._admit(packet, started_us, inbox, stop):
                    return None
                last_us = max(last_us, packet.pts_us or 0)
        except av.error.FFmpegError:
            return Fault("source_truncated", "the file ends in the middle; what could be read was kept")
        return _judge_end(container, last_us + origin_us)

    def _admit(self, packet: Packet, started_us: int, inbox: Inbox, stop: threading.Event) -> bool:
        """Hand a packet over when its time has come and there is room; False: the source is to stop."""
        if self._pace == "real" and packet.pts_us is not None:
            ahead_us = started_us + packet.pts_us - time.monotonic_ns() // 1000
            if ahead_us > 0 and stop.wait(ahead_us / 1e6):
                return False
        inbox.wait_for_room(self._stream, stop)
        if stop.is_set():
            return False
        inbox.put(packet)
        return True


def _origin_us(container: InputContainer) -> int:
    video = tracks(container)[0]
    if video.start_time is None or video.time_base is None:
        return 0
    origin: int = round(video.start_time * video.time_base * 1_000_000)
    return origin


def _judge_end(container: InputContainer, last_us: int) -> Fault | None:
    if container.duration is not None and last_us < container.duration - _SHORT_US:
        return Fault("source_truncated", "the file ends before its header says; what could be read was kept")
    return None
