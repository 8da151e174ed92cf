"""A video file as a source: at its own pace, or as fast as it is taken."""

import os
import stat
import threading
import time
from typing import Any, Final

import av
from av.container import InputContainer

from perception.messages import Fault, OpenStream, Packet, SessionEnded, SessionStarted
from perception.messages import Pace as PaceName
from perception.sources.base import Inbox
from perception.sources.demux import READ_ERRORS, microseconds, no_picture, packets, tracks
from perception.sources.timeline import Ends, Pace, Timeline, period_us

_OPEN_S: Final = 10.0
_OPTIONS: Final = {
    # Containers that hold their media themselves: a playlist or a session description may name any file or host.
    "format_whitelist": "matroska,mov,avi,mpegts,mpeg,mpegvideo,h264,hevc,vvc,av1,obu,ivf,m4v,vc1,h263,mjpeg,flv,"
    "live_flv,asf,ogg,rm,wtv,dv,gxf,mxf,nut,nsv,yuv4mpegpipe,gif",
    "protocol_whitelist": "file",
    # Stamps that start over are ours to mend: FFmpeg takes those of a joined recording for a day's overflow.
    "correct_ts_overflow": "0",
}
_MISSING: Final = Fault("source_not_found", "the file is not there or cannot be read")
_NO_VIDEO: Final = Fault("source_invalid", "the file is not a video that can be read")


class FileReader:
    """Reads one file, from `resume_us` on. Stamps count from the file's first picture."""

    session: Final = 0
    endless: Final = False

    def __init__(self, opened: OpenStream, path: str, pace: PaceName) -> None:
        self.stream, self._path, self._pace = opened.stream, path, pace
        self._resume_us = opened.resume_us

    def run(self, inbox: Inbox, stop: threading.Event) -> None:
        """See `Reader.run`."""
        now_us, wall_us = time.monotonic_ns() // 1000, time.time_ns() // 1000
        inbox.put(SessionStarted(self.stream, self.session, now_us, wall_us))
        fault = self._read(inbox, stop)
        if not stop.is_set():
            inbox.put(SessionEnded(self.stream, self.session, True, fault, time.monotonic_ns() // 1000))

    def _read(self, inbox: Inbox, stop: threading.Event) -> Fault | None:
        try:
            # A pipe would block whoever opens it.
            if not stat.S_ISREG(os.stat(self._path).st_mode) or not os.access(self._path, os.R_OK):
                return _MISSING
        except (OSError, ValueError):
            return _MISSING
        try:
            container = self._open()
        except READ_ERRORS:
            return _NO_VIDEO
        with container:
            chosen = tracks(container)
            if not chosen:
                return no_picture(container, "file")
            return self._play(container, chosen, inbox, stop)

    def _open(self) -> InputContainer:
        """The container, where reading is to start. Raises READ_ERRORS."""
        container = _open(self._path)
        # Beyond a file's own length lies only what was joined to it, which no seek finds.
        if self._resume_us > 0 and (container.duration is None or self._resume_us <= container.duration):
            try:
                container.seek(self._resume_us + _origin_us(tracks(container)), backward=True)
            except READ_ERRORS:
                # A bare stream has no index, and has lost its place now: what was watched before is read again.
                container.close()
                return _open(self._path)
        return container

    def _play(self, container: InputContainer, chosen: list[Any], inbox: Inbox, stop: threading.Event) -> Fault | None:
        origin_us = _origin_us(chosen)
        timeline, pace = Timeline(), Pace(self._resume_us)
        ends = Ends(container, chosen, self._resume_us + origin_us)
        try:
            for raw, packet in packets(ends.watch(), self.stream, self.session, origin_us):
                if not self._admit(timeline.place(packet, period_us(raw)), pace, inbox, stop):
                    return None
        except READ_ERRORS:
            return Fault("source_truncated", "the file ends in the middle; what could be read was kept")
        if ends.short:
            return Fault("source_truncated", "the file ends before its header says; what could be read was kept")
        return None

    def _admit(self, packet: Packet, pace: Pace, inbox: Inbox, stop: threading.Event) -> bool:
        """Hand a packet over when its time has come and there is room; False: the source is to stop."""
        at_us = packet.pts_us if packet.pts_us is not None else packet.dts_us
        if self._pace == "real" and at_us is not None and not pace.wait(at_us, stop):
            return False
        inbox.wait_for_room(self.stream, stop)
        if stop.is_set():
            return False
        inbox.put(packet)
        return True


def _open(path: str) -> InputContainer:
    return av.open(path, options=dict(_OPTIONS), metadata_errors="replace", timeout=(_OPEN_S, None))


def _origin_us(chosen: list[Any]) -> int:
    """The stamp of the first picture."""
    if not chosen or chosen[0].start_time is None:
        return 0
    return microseconds(chosen[0].start_time, chosen[0].time_base)
