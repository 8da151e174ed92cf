"""A child process: `python -m server.worker STAGE`. Finds its queues in what it inherited, loads its stage, loops."""

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

import msgspec

from perception.errors import StartRefused
from perception.messages import Fault
from perception.torchvision_guard import hide_broken_torchvision
from server.ipc.channel import Channel, ChannelClosed
from server.ipc.links import Inherited
from server.ipc.messages import CONFIGS, STAGES, StageName, Start, StartFailed
from server.ipc.runtime import StageLoop, prepare_process
from server.logs import redactor, set_up

log = logging.getLogger(__name__)

Build = Callable[[StageName, Any, Inherited, Channel], StageLoop]

_START_PATIENCE_S: Final = 30.0


def main(build: Build | None = None) -> int:
    """Run the stage that the command line names; the exit status. build: another maker of its loop, for tests."""
    stage = cast(StageName, sys.argv[1])
    if stage not in STAGES:
        return 2
    inherited = Inherited(stage)
    prepare_process(inherited.parent)
    control = inherited.control()
    try:
        return _serve(stage, inherited, control, build or _build)
    except ChannelClosed:
        return 1
    except Exception:
        # The one place where this process ends by an error: the supervisor starts another.
        log.exception("%s ends by an error", stage)
        return 1


def _serve(stage: StageName, inherited: Inherited, control: Channel, build: Build) -> int:
    start = _await_start(control)
    redactor.add(start.secrets)
    set_up("json" if start.log_json else "text", start.log_level)
    threading.excepthook = log_lost_thread
    config = msgspec.msgpack.decode(start.config, type=CONFIGS[stage])
    try:
        loop = build(stage, config, inherited, control)
    except StartRefused as refused:
        control.send(StartFailed(Fault(refused.code, refused.message)))
        return 2
    loop.run()
    return 0


def _build(stage: StageName, config: Any, inherited: Inherited, control: Channel) -> StageLoop:
    """Import the stage's own wiring: a process loads only the libraries of its stage."""
    if getattr(config, "remote", None) is None:
        # Who has its model elsewhere needs neither of these libraries.
        hide_broken_torchvision()
    module = importlib.import_module(f"server.stages.{stage}")
    return cast(StageLoop, module.build_loop(config, inherited, control))


def _await_start(control: Channel) -> Start:
    while control.wait(_START_PATIENCE_S):
        for message in control.receive():
            if isinstance(message, Start):
                return message
    raise ChannelClosed("no start message came")


def log_lost_thread(lost: threading.ExceptHookArgs) -> None:
    """Say that a thread ended by an error; not its text, which may hold a camera's address with its password."""
    if lost.exc_type is not SystemExit:
        name = lost.thread.name if lost.thread is not None else "?"
        log.error("the thread %s ends by an error (%s)", name, lost.exc_type.__name__)


def leave(status: int) -> NoReturn:
    """End the process at once: the stage is closed, and taking the libraries apart would take seconds."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
