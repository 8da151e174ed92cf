"""Memory's process: the percept ring and the channel to reasoning, tied to its stage."""

import logging
import os
from collections.abc import Iterator
from typing import Any

from memory.build import build_stage
from memory.config import MemoryConfig
from memory.messages import Context, Recall
from perception.messages import PerceptRecord
from server.ipc.channel import Channel
from server.ipc.inlets import PeerLink, RingInlet
from server.ipc.links import PERCEPT_READERS, Inherited
from server.ipc.ring import RingReader
from server.ipc.runtime import StageLoop
from server.ipc.warn import RateLimitedWarning
from server.stages.clock import monotonic_us

log = logging.getLogger(__name__)


class WakeUp:
    """An eventfd by which the writer thread wakes the loop: its commits have acknowledgements to send."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """The eventfd."""
        return self._event

    def notify(self) -> None:
        """Wake the loop; from any thread."""
        os.eventfd_write(self._event, 1)

    def drain(self) -> Iterator[Any]:
        """Take the note; the stage itself knows what there is to do."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return
        yield from ()


def build_loop(config: MemoryConfig, inherited: Inherited, control: Channel) -> StageLoop:
    """Load the stage and tie its ends. Raises StartRefused."""
    wake_up = WakeUp()
    stage = build_stage(config, monotonic_us, wake_up.notify)
    percepts = RingInlet(
        RingReader(inherited.ring("percepts"), PERCEPT_READERS.index("memory")),
        PerceptRecord,
        RateLimitedWarning(log, "%d percepts were overwritten unread"),
        room=stage.room,
    )
    reasoning = PeerLink(inherited.peer(Recall), kinds=(Context,))
    return StageLoop(stage, control, inlets=[percepts, reasoning, wake_up], outlets=[reasoning])
