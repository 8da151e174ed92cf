"""The queues between the processes: who writes, who reads, how large. Made by the parent, inherited by its children."""

import json
import os
import socket
from dataclasses import dataclass
from typing import Final

from server.ipc.channel import Channel, socket_pair
from server.ipc.memory_file import create_memory_file
from server.ipc.messages import (
    FromMemory,
    FromPerception,
    FromReasoning,
    StageName,
    ToMemory,
    ToPerception,
    ToReasoning,
)
from server.ipc.ring import RingFiles, RingReader, RingWriter, create_ring

FDS_VARIABLE: Final = "OMNILIVE_STAGE_FDS"
PARENT_VARIABLE: Final = "OMNILIVE_PARENT_PID"

KIB: Final = 1024
_SLOT: Final = 256 * KIB
MEDIA_SLOTS: Final = 144
"""36 MiB: two of the largest websocket messages and some."""
PERCEPT_SLOTS: Final = 128
"""32 MiB: more than a hundred frames at the stored size."""
_SPILL_SLOTS: Final = {
    ("server", "perception"): 8,
    ("perception", "server"): 4,
    ("server", "memory"): 144,
    ("memory", "server"): 64,
    ("server", "reasoning"): 16,
    ("reasoning", "server"): 16,
    ("memory", "reasoning"): 128,
    ("reasoning", "memory"): 8,
}
PERCEPT_READERS: Final[tuple[str, ...]] = ("memory", "server")
"""Readers of the percept ring by number; the first reads all of it."""

_INCOMING: Final = {"perception": ToPerception, "memory": ToMemory, "reasoning": ToReasoning}
_OUTGOING: Final = {"perception": FromPerception, "memory": FromMemory, "reasoning": FromReasoning}


@dataclass
class Links:
    """All queues of one server. They outlive the children: a successor inherits what its predecessor had."""

    media: RingFiles
    percepts: RingFiles
    slab: int
    spills: dict[tuple[str, str], RingFiles]
    peer: tuple[socket.socket, socket.socket]
    """Reasoning's and memory's ends of the channel between them."""

    def stage_fds(self, stage: StageName) -> dict[str, list[int]]:
        """What a child of this stage inherits besides its control socket, by name."""
        spill = {"spill_out": self.spills[stage, "server"], "spill_in": self.spills["server", stage]}
        fds = {name: list(files.fds) for name, files in spill.items()}
        match stage:
            case "perception":
                fds |= {"media": list(self.media.fds), "percepts": list(self.percepts.fds), "slab": [self.slab]}
            case "memory":
                fds |= {"percepts": list(self.percepts.fds), "peer": [self.peer[1].fileno()]}
                fds |= self._peer_spills("memory", "reasoning")
            case "reasoning":
                fds |= {"slab": [self.slab], "peer": [self.peer[0].fileno()]}
                fds |= self._peer_spills("reasoning", "memory")
        return fds

    def close(self) -> None:
        """Close every descriptor; what is mapped stays until it is let go."""
        for files in (self.media, self.percepts, *self.spills.values()):
            for fd in files.fds:
                os.close(fd)
        os.close(self.slab)
        for end in self.peer:
            end.close()

    def _peer_spills(self, own: str, other: str) -> dict[str, list[int]]:
        return {
            "peer_spill_out": list(self.spills[own, other].fds),
            "peer_spill_in": list(self.spills[other, own].fds),
        }

    def control(self, stage: StageName, end: socket.socket) -> Channel:
        """The parent's end of a control channel."""
        out, back = self.spills["server", stage], self.spills[stage, "server"]
        return _channel(end, _OUTGOING[stage], out, back)


def create_links() -> Links:
    """Make every queue; raises SharedMemoryExhausted."""
    return Links(
        media=create_ring("omnilive-media", MEDIA_SLOTS, _SLOT, 1),
        percepts=create_ring("omnilive-percepts", PERCEPT_SLOTS, _SLOT, len(PERCEPT_READERS)),
        slab=create_memory_file("omnilive-window", 0),
        spills={(a, b): create_ring(f"omnilive-{a}-{b}", slots, _SLOT, 1) for (a, b), slots in _SPILL_SLOTS.items()},
        peer=socket_pair(),
    )


class Inherited:
    """What a child finds: the descriptors that its parent left it, by name."""

    def __init__(self, stage: StageName) -> None:
        self.stage = stage
        self.parent = int(os.environ[PARENT_VARIABLE])
        # Taken out of the environment: nothing that this process might start shall see them.
        self._fds: dict[str, list[int]] = json.loads(os.environ.pop(FDS_VARIABLE))

    def ring(self, name: str) -> RingFiles:
        """A ring's descriptors."""
        memory, *events = self._fds[name]
        return RingFiles(memory, tuple(events))

    def fd(self, name: str) -> int:
        """A single descriptor."""
        return self._fds[name][0]

    def control(self) -> Channel:
        """The child's end of the control channel."""
        return self._channel("control", _INCOMING[self.stage], "spill_out", "spill_in")

    def peer(self, incoming: object) -> Channel:
        """The child's end of the channel between memory and reasoning."""
        return self._channel("peer", incoming, "peer_spill_out", "peer_spill_in")

    def _channel(self, name: str, incoming: object, out: str, back: str) -> Channel:
        end = socket.socket(fileno=self.fd(name))
        end.setblocking(False)
        return _channel(end, incoming, self.ring(out), self.ring(back))


def _channel(end: socket.socket, incoming: object, out: RingFiles, back: RingFiles) -> Channel:
    return Channel(end, incoming, RingWriter(out, populate=False), RingReader(back, 0, populate=False))
