"""A StageHost over stub stages, and ways to wait for what happens in other processes."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from memory.config import MemoryConfig
from memory.messages import BarrierReached, EventFound, GetEvent
from perception.config import ModelConfig, PerceptionConfig
from perception.messages import Barrier, Fault, Packet, PerceptRecord
from reasoning.config import ReasoningConfig
from server.ipc.keeper import HostLimits
from server.ipc.messages import StageName
from server.ipc.supervisor import StageHost

STUB = Path(__file__).with_name("stub_worker.py")
PATIENCE_S = 20.0


def stub_command(stage: StageName) -> list[str]:
    return [sys.executable, str(STUB), stage]


async def wait_until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait for a condition; what it gave."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Recorder:
    """Implements HostEvents by writing down."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    percepts: list[PerceptRecord] = field(default_factory=list)

    def on_ready(self, stage: StageName) -> None:
        self.calls.append(("ready", stage))

    def on_lost(self, stage: StageName) -> None:
        self.calls.append(("lost", stage))

    def on_message(self, stage: StageName, message: Any) -> None:
        self.calls.append(("message", stage, message))

    def on_percept(self, record: PerceptRecord) -> None:
        self.percepts.append(record)

    def on_fatal(self, stage: StageName, fault: Fault) -> None:
        self.calls.append(("fatal", stage, fault))

    def messages(self, kind: type) -> list[Any]:
        return [call[2] for call in self.calls if call[0] == "message" and isinstance(call[2], kind)]

    def count(self, *call: Any) -> int:
        return self.calls.count(call)


@dataclass
class Hosted:
    """A running host, its recorder and the folder of memory's diary."""

    host: StageHost
    events: Recorder
    folder: Path

    def pid(self, stage: StageName) -> int:
        pid = self.host.status()[stage].pid
        assert pid is not None
        return pid

    @property
    def diary(self) -> list[str]:
        return (self.folder / "diary").read_text().splitlines()

    def push(self, media_us: int, data: bytes = b"jpeg") -> bool:
        return self.host.try_push(self.packet(media_us, data))

    @staticmethod
    def packet(media_us: int, data: bytes = b"jpeg", codec: str = "jpeg", stream: str = "t/a") -> Packet:
        return Packet(stream, 1, 0, codec, data, media_us, 0, 0)

    def tell_memory(self, command: str) -> None:
        assert self.host.send("memory", GetEvent("t/a", 1, command))

    async def obeyed(self, command: str) -> None:
        """Until memory has done it."""
        await wait_until(lambda: any(one.event.id == command for one in self.events.messages(EventFound)))

    async def reached(self, number: int) -> None:
        """Until memory has read everything that was pushed."""
        await self.host.push(Barrier("t/a", number))
        await wait_until(lambda: BarrierReached("t/a", number) in self.events.messages(BarrierReached))

    async def replaced(self, stage: StageName, pid: int) -> None:
        """Until another process is ready in place of this one."""
        await wait_until(lambda: self.host.status()[stage].state == "ready" and self.pid(stage) != pid)


def configs(folder: Path, *, memory: str = "", perception: str = "") -> dict[StageName, msgspec.Struct]:
    """What the stubs need. memory, perception: how they start."""
    return {
        "perception": PerceptionConfig(ModelConfig(perception), None),
        "memory": MemoryConfig(str(folder), str(folder), ModelConfig(memory)),
        "reasoning": ReasoningConfig(ModelConfig("")),
    }


Make = Callable[..., Hosted]
Launch = Callable[..., Awaitable[Hosted]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Hosts that are not started yet; stopped and looked after at the end."""
    made: list[Hosted] = []
    before = os.listdir("/dev/shm")

    def one(limits: HostLimits | None = None, *, memory: str = "", perception: str = "") -> Hosted:
        events = Recorder()
        host = StageHost(
            configs(tmp_path, memory=memory, perception=perception), events, limits=limits, command=stub_command
        )
        made.append(Hosted(host, events, tmp_path))
        return made[-1]

    yield one
    for hosted in made:
        pids = [status.pid for status in hosted.host.status().values() if status.pid is not None]
        await hosted.host.stop(5.0)
        assert not any(is_alive(pid) for pid in pids)
    assert os.listdir("/dev/shm") == before


@pytest.fixture
async def launch(make: Make) -> Launch:
    """A host with all stages ready."""

    async def one(limits: HostLimits | None = None) -> Hosted:
        hosted = make(limits)
        await hosted.host.start()
        return hosted

    return one


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """Wait for a condition."""
    return wait_until


@pytest.fixture(name="is_alive")
def is_alive_fixture() -> Callable[[int], bool]:
    """Whether a process runs."""
    return is_alive
