"""One child process of a stage: started, watched by its pidfd, spoken to over its control channel, surely ended."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

from server.ipc.channel import Channel, socket_pair
from server.ipc.links import FDS_VARIABLE, PARENT_VARIABLE, Links
from server.ipc.messages import Drain, StageName

log = logging.getLogger(__name__)

_ROOT = str(Path(__file__).resolve().parents[2])
_STDERR = 2
"""What a child prints belongs to the log: standard output is the server's own."""

LEAN: Final = {
    # Each thread of glibc's would else keep pools of its own, of which frames leave little to others.
    "MALLOC_ARENA_MAX": "2",
    # For every shape of a product in bf16, so for every length of a prompt, oneDNN keeps a primitive, and PyTorch's
    # layer above it another: a third of a megabyte each, a thousand of both. A pass through a model goes round in far
    # fewer shapes than these, and a primitive that is made anew costs a fifth of a millisecond. Not zero: the layer
    # above would crash.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32",
    "LRU_CACHE_CAPACITY": "32",
}
"""Keeps a stage's libraries from growing for hours; what the server's own environment says goes before."""

SHARING: Final[dict[StageName, dict[str, str]]] = {
    # A thread of a team that spins while another has no core takes the cores from who decodes: beside other work that
    # costs nine of ten pictures of twenty cameras.
    "perception": {"OMP_WAIT_POLICY": "PASSIVE"},
}
"""What a stage's libraries are told so that they leave the cores to others."""

Command = Callable[[StageName], Sequence[str]]


def worker_command(stage: StageName) -> Sequence[str]:
    """The product's own children."""
    return (sys.executable, "-m", "server.worker", stage)


class StageProcess:
    """A running child. Start it from the main thread: it dies with the thread that started it (PR_SET_PDEATHSIG)."""

    def __init__(self, stage: StageName, links: Links, command: Command = worker_command) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a stage is started from the main thread: it dies with the thread that starts it")
        self.stage = stage
        parent_end, child_end = socket_pair()
        fds = {"control": [child_end.fileno()], **links.stage_fds(stage)}
        numbers = sorted({fd for group in fds.values() for fd in group})
        environment = {
            **LEAN,
            **SHARING.get(stage, {}),
            **os.environ,
            # The child imports what its parent runs, whatever the working directory is.
            "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH")))),
            FDS_VARIABLE: json.dumps(fds),
            PARENT_VARIABLE: str(os.getpid()),
        }
        # The child keeps the parent's process group, so that a kill of the group reaches it; it ignores Ctrl-C itself.
        self._process = subprocess.Popen(
            command(stage), pass_fds=numbers, env=environment, stdin=subprocess.DEVNULL, stdout=_STDERR
        )
        child_end.close()
        self.pidfd = os.pidfd_open(self._process.pid)
        self.channel: Channel = links.control(stage, parent_end)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def rss_bytes(self) -> int:
        """Resident memory; 0 once it is gone."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def dump_stacks(self) -> None:
        """Have the child write the stacks of its threads to the log."""
        self._signal(signal.SIGUSR1)

    def ask_to_drain(self) -> None:
        """Ask it to finish and go. Raises ChannelClosed."""
        self.channel.send(Drain())

    def terminate(self) -> None:
        """Ask it to go."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; works on a stopped process too."""
        self._signal(signal.SIGKILL)

    def reap(self) -> int:
        """Collect a child that has ended: its exit status (negative: the signal). Closes what the parent held of it."""
        status = self._process.wait()
        self.channel.close()
        os.close(self.pidfd)
        return status

    def _signal(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            log.debug("%s had ended before %s", self.stage, number.name)
