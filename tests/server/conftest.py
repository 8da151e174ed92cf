"""A hub on stages that are played: what the server sends is kept, what it gets back is scripted."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from PIL import Image
from starlette.testclient import TestClient

from memory import messages as memory
from perception import messages as perception
from reasoning import messages as reasoning
from server.config import load_config
from server.core import Clocks
from server.doors.app import create_app
from server.hub import Hub
from server.ipc.messages import STAGES
from server.keys import Keys

START_US = 1_763_000_000_000_000


def jpeg(width: int = 32, height: int = 24, kind: str = "JPEG") -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(out, kind)
    return out.getvalue()


def event(stream: str, number: int, **changes: Any) -> memory.EventRecord:
    """Event `number`, ten seconds long."""
    record = memory.EventRecord(
        id=f"e_{number}",
        stream=stream,
        start_us=number * 10_000_000,
        end_us=number * 10_000_000 + 9_000_000,
        caption=None,
        transcript="hello" if number == 1 else None,
        speech=[memory.SpeechSpan(number * 10_000_000 + 1, number * 10_000_000 + 500_000)],
        merged=1,
        frames=[memory.FrameRef(0, number * 10_000_000)],
        open=False,
    )
    return msgspec.structs.replace(record, **changes)


@dataclass
class FakeStatus:
    pid: int = 4242
    state: str = "ready"
    restarts: int = 0
    rss_bytes: int = 1 << 20
    progress_age_ms: int = 3


@dataclass
class FakeHost:
    """Plays all three stages on the hub's own loop."""

    hub: Hub
    sent: list[tuple[str, Any]] = field(default_factory=list)
    pushed: list[Any] = field(default_factory=list)
    events: dict[str, list[memory.EventRecord]] = field(default_factory=dict)
    statuses: dict[str, FakeStatus] = field(default_factory=lambda: {name: FakeStatus() for name in STAGES})
    answer: list[str] = field(default_factory=lambda: ["A red ", "door."])
    about: memory.About | None = None
    hold_answers: bool = False
    silent: set[type] = field(default_factory=set)
    room: bool = True
    open_fault: perception.Fault | None = None
    ended_us: int = 0
    archive: bytes = b"an archive" * 1000
    changed: threading.Condition = field(default_factory=threading.Condition)

    def send(self, stage: str, message: Any) -> bool:
        if self.statuses[stage].state != "ready":
            return False
        with self.changed:
            self.sent.append((stage, message))
            self.changed.notify_all()
        play = getattr(self, f"_{type(message).__name__.lower()}", None)
        if play is not None and type(message) not in self.silent:
            asyncio.get_running_loop().call_soon(play, message)
        return True

    def try_push(self, record: Any) -> bool:
        if not self.room:
            return False
        with self.changed:
            self.pushed.append(record)
            self.changed.notify_all()
        if isinstance(record, perception.Barrier) and perception.Barrier not in self.silent:
            asyncio.get_running_loop().call_soon(
                self.say, "memory", memory.BarrierReached(record.stream, record.barrier)
            )
        return True

    async def push(self, record: Any) -> None:
        while not self.try_push(record):
            await asyncio.sleep(0.001)

    def status(self) -> dict[str, FakeStatus]:
        return self.statuses

    def _exportmemory(self, message: memory.ExportMemory) -> None:
        path = self.hub.archives._folder / "made"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.archive)
        self.say("memory", memory.Exported(message.request, str(path)))

    def _importmemory(self, message: memory.ImportMemory) -> None:
        if Path(message.path).read_bytes() != self.archive:
            fault = perception.Fault("archive_invalid", "the file is no archive")
            self.say("memory", memory.Refused(message.request, fault))
            return
        declared = msgspec.json.decode(message.declaration) | {"start_wall_us": START_US, "time_zone": "UTC"}
        self.say("memory", memory.Imported(message.request, msgspec.json.encode(declared).decode(), 10_000_000))

    # what tests do

    def say(self, stage: str, message: Any) -> None:
        self.hub.on_message(stage, message)

    def start(self) -> None:
        for stage in STAGES:
            self.hub.on_ready(stage)
        self.hub.open()

    def lose(self, stage: str) -> None:
        self.statuses[stage].state = "restarting"
        self.hub.on_lost(stage)

    def come_back(self, stage: str) -> None:
        self.statuses[stage].state = "ready"
        self.statuses[stage].restarts += 1
        self.hub.on_ready(stage)

    def see_frame(self, stream: str, media_us: int = 1_000_000) -> None:
        arrival = self.hub.core.clocks.monotonic_us()
        self.hub.on_percept(perception.Percept(stream, media_us, arrival, jpeg(), b"", False, 0))

    def of(self, kind: type) -> list[Any]:
        with self.changed:
            return [message for _, message in self.sent if isinstance(message, kind)]

    def wait_for(self, kind: type, count: int = 1) -> list[Any]:
        """Messages of a kind, from another thread, once there are `count`."""
        with self.changed:
            found = lambda: [m for _, m in self.sent if isinstance(m, kind)]  # noqa: E731
            assert self.changed.wait_for(lambda: len(found()) >= count, 5), f"no {count} of {kind.__name__}"
            return found()

    def wait_pushed(self, kind: type, count: int = 1) -> list[Any]:
        with self.changed:
            found = lambda: [m for m in self.pushed if isinstance(m, kind)]  # noqa: E731
            assert self.changed.wait_for(lambda: len(found()) >= count, 5), f"no {count} of {kind.__name__}"
            return found()

    # the stages

    def _openmemory(self, message: memory.OpenMemory) -> None:
        self.say("memory", memory.MemoryOpened(message.stream, self.ended_us, self.open_fault))

    def _updatememory(self, message: memory.UpdateMemory) -> None:
        self.say("memory", memory.Updated(message.request))

    def _dropmemory(self, message: memory.DropMemory) -> None:
        self.events.pop(message.stream, None)
        self.say("memory", memory.Dropped(message.stream, message.request))

    def _closestream(self, message: perception.CloseStream) -> None:
        self.say("perception", perception.StreamClosed(message.stream))

    def _wipewindow(self, message: perception.WipeWindow) -> None:
        self.say("perception", perception.WindowWiped(message.stream, message.request))

    def _forgetcaches(self, message: reasoning.ForgetCaches) -> None:
        self.say("reasoning", reasoning.CachesForgotten(message.stream, message.request))

    def _forget(self, message: memory.Forget) -> None:
        held = self.events.get(message.stream, [])
        if message.event is not None:
            gone = [one for one in held if one.id == message.event]
            if not gone:
                self._refuse(message.request, "event_not_found")
                return
        else:
            gone = [one for one in held if one.end_us >= message.since_us and one.start_us < message.until_us]
        self.events[message.stream] = [one for one in held if one not in gone]
        span = (min(one.start_us for one in gone), max(one.end_us for one in gone)) if gone else (-1, -1)
        names = [one.id for one in gone]
        self.say("memory", memory.Forgotten(message.stream, message.request, names, 100 * len(gone), *span, []))

    def _listevents(self, message: memory.ListEvents) -> None:
        held = self.events.get(message.stream, [])
        found = [one for one in held if one.end_us >= message.since_us and one.start_us < message.until_us][::-1]
        if message.q is not None:
            found = [msgspec.structs.replace(one, score=0.5) for one in found]
        cursor = "more" if len(found) > message.limit else None
        gaps = [] if message.q is not None else [memory.GapRecord(5_000_000, 6_000_000, "offline")]
        self.say("memory", memory.EventPage(message.request, found[: message.limit], cursor, gaps))

    def _searchpicture(self, message: memory.SearchPicture) -> None:
        held = self.events.get(message.stream, [])
        found = [msgspec.structs.replace(one, score=0.9) for one in held][: message.limit]
        self.say("memory", memory.EventPage(message.request, found, None))

    def _getevent(self, message: memory.GetEvent) -> None:
        found = [one for one in self.events.get(message.stream, []) if one.id == message.event]
        if found:
            self.say("memory", memory.EventFound(message.request, found[0]))
        else:
            self._refuse(message.request, "event_not_found")

    def _getframe(self, message: memory.GetFrame) -> None:
        found = [one for one in self.events.get(message.stream, []) if one.id == message.event]
        if found and message.n == 0:
            self.say("memory", memory.FrameFound(message.request, jpeg()))
        else:
            self._refuse(message.request, "event_not_found")

    def _refuse(self, request: int, code: str) -> None:
        self.say("memory", memory.Refused(request, perception.Fault(code, "there is no such event")))

    def _ask(self, message: reasoning.Ask) -> None:
        if not self.hold_answers:
            self.give_answer(message)

    def give_answer(self, ask: reasoning.Ask) -> None:
        """All of an answer."""
        for text in self.answer:
            self.say("reasoning", reasoning.AnswerDelta(ask.question_id, text))
        self.say("reasoning", self.done(ask))

    def done(self, ask: reasoning.Ask, **changes: Any) -> reasoning.AnswerDone:
        stream = ask.streams[0].stream
        done = reasoning.AnswerDone(
            question_id=ask.question_id,
            text="".join(self.answer),
            finish_reason="stop",
            evidence=[reasoning.EvidenceUsed(stream, "e_1", 0, 10_000_000, 10_000_000, 19_000_000, 0.75)],
            coverage=[
                memory.Coverage("full", 0, 19_000_000, [memory.GapRecord(5_000_000, 6_000_000, "offline")], 1_000_000)
                for _ in ask.streams
            ],
            newest_arrival_us=ask.arrival_us - 40_000,
            timing=reasoning.Timing(1000, 2000, 3000, 6000, 9000),
            input_tokens=100,
            output_tokens=5,
            explain='{"gate": {"needs_past": true}, '
            '"candidates": [{"stream": "default/cam", "event": "e_1", "score": 0.75}]}',
            about=self.about,
        )
        return msgspec.structs.replace(done, **changes)


@dataclass
class Rig:
    """A hub with its played stages and its doors."""

    hub: Hub
    host: FakeHost
    app: Any
    files: Path

    def client(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers)

    async def add(self, id: str = "cam", **source: Any) -> None:
        """A push stream with one frame and one event."""
        async with self.client() as client:
            body = {"id": id, "source": source or {"push": True, "pace": "real"}}
            response = await client.post("/v1/streams", json=body)
            assert response.status_code == 201, response.text
        self.fill(id)

    def fill(self, id: str = "cam") -> None:
        key = f"default/{id}"
        self.host.events[key] = [event(key, 1), event(key, 2)]
        self.host.see_frame(key, 29_000_000)


@pytest.fixture
def make_rig(tmp_path: Path) -> Callable[..., Rig]:
    def make(key: str | None = None, start: bool = True, wall_us: int | None = None, **flags: Any) -> Rig:
        files = tmp_path / "videos"
        files.mkdir(exist_ok=True)
        config = load_config({"data": str(tmp_path / "data"), "allow_files": [str(files)], **flags}, {}, None)
        clocks = Clocks() if wall_us is None else Clocks(wall_us=lambda: wall_us)
        hub = Hub(config, clocks=clocks)
        host = FakeHost(hub)
        hub.attach(host)
        if start:
            host.start()
        return Rig(hub, host, create_app(hub, Keys(None, key)), files)

    return make


@pytest.fixture
async def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()


@pytest.fixture
def live_rig(make_rig: Callable[..., Rig]) -> Iterator[tuple[Rig, TestClient]]:
    """The same behind a client that speaks websockets; `client.portal.call` runs on the hub's loop."""
    rig = make_rig(start=False)
    with TestClient(rig.app, base_url="http://127.0.0.1:8000") as client:
        client.portal.call(rig.host.start)
        yield rig, client


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """A small picture of a kind."""
    return lambda kind="JPEG", width=32, height=24: jpeg(width, height, kind)
