"""Reasoning's process: the window slab and the channel to memory, tied to its stage."""

from memory.caption_messages import Captioned, ToCaption, WantCaption
from memory.messages import Context, Recall
from reasoning.build import build_stage
from reasoning.config import ReasoningConfig
from reasoning.messages import EngineReady
from server.ipc.channel import Channel
from server.ipc.inlets import PeerLink
from server.ipc.links import Inherited
from server.ipc.runtime import StageLoop
from server.ipc.slab import SlabReader
from server.stages.clock import monotonic_us
from server.stages.remote import RemoteEngine
from server.stages.wake_up import WakeUp


def build_loop(config: ReasoningConfig, inherited: Inherited, control: Channel) -> StageLoop:
    """Load the stage and tie its ends. Raises StartRefused."""
    wake_up = WakeUp()
    elsewhere = RemoteEngine(config.remote, config.slots, wake_up.notify) if config.remote is not None else None
    stage = build_stage(config, SlabReader(inherited.fd("slab")), monotonic_us, elsewhere)
    control.send(EngineReady(stage.decoding))
    memory = PeerLink(inherited.peer(Context | ToCaption), kinds=(Recall, WantCaption, Captioned))
    return StageLoop(stage, control, inlets=[memory, wake_up], outlets=[memory])
