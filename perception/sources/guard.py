"""The last net under a reader: whatever it throws, its stream is told, and a camera is read again."""

import logging
import threading
import time
from typing import Final

from perception.messages import Fault, SessionEnded
from perception.sources.base import Inbox, Reader

log = logging.getLogger(__name__)

_PAUSE_S: Final = 5.0
"""Before a reader that failed is started again."""


def run_guarded(reader: Reader, inbox: Inbox, stop: threading.Event) -> None:
    """Run a reader until it is done or `stop` is set."""
    while not stop.is_set():
        try:
            return reader.run(inbox, stop)
        except Exception as error:  # noqa: BLE001 - a thread that dies in silence leaves its stream hanging for ever
            # The kind only: the text may hold the source's address with its password.
            log.error("stream %s: its reader failed (%s)", reader.stream, type(error).__name__)
        inbox.put(SessionEnded(reader.stream, reader.session, not reader.endless, _fault(reader), _now_us()))
        if not reader.endless:
            return None
        stop.wait(_PAUSE_S)
    return None


def _fault(reader: Reader) -> Fault:
    if reader.endless:
        return Fault("camera_closed", "what the camera sends cannot be read; it is tried again")
    return Fault("source_invalid", "the file is not a video that can be read")


def _now_us() -> int:
    return time.monotonic_ns() // 1000
