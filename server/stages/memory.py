"""Memory's process: the percept ring and the channel to reasoning, tied to its stage."""

import logging

from memory.build import build_stage
from memory.caption_messages import Captioned, ToCaption, WantCaption
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
from server.stages.wake_up import WakeUp

log = logging.getLogger(__name__)


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
    reasoning = PeerLink(inherited.peer(Recall | WantCaption | Captioned), kinds=(Context, ToCaption))
    return StageLoop(stage, control, inlets=[percepts, reasoning, wake_up], outlets=[reasoning])
