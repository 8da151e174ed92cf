"""A process that remembers until it is killed: `python -m evaluation.micro.durable.feeder FOLDER [--events N] ...`.

It feeds memory's own stage with pictures, words and vectors that follow from their media time alone, forgets some of
the events, and says on stdout what was acknowledged, a line each:

    opened KEY | ready SECONDS | kept KEY ID START END | asked KEY ID | forgot KEY ID | full | done
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory import failpoints
from memory.config import MemoryConfig
from memory.messages import (
    BarrierReached,
    EventCommitted,
    Forget,
    Forgotten,
    MemoryOpened,
    MemoryOptions,
    MemoryOutput,
    MemoryStatus,
    OpenMemory,
    StreamRestored,
)
from memory.stage import MemoryStage
from perception.config import ModelConfig
from perception.encoders import Image, Vectors
from perception.messages import Barrier, Percept, Speech

DIM: Final = 64
S: Final = 1_000_000
EVENT_US: Final = 3 * S
START_WALL_US: Final = 1_700_000_000_000_000
_FORGET_EVERY: Final = 4
_BEHIND: Final = 2
"""How many events after it an event is forgotten."""


def frame_bytes(captured_us: int, size: int) -> bytes:
    """What is stored as the picture of a moment: its mark, then noise."""
    return mark_of(captured_us) + np.random.default_rng(captured_us).bytes(size)


def mark_of(captured_us: int) -> bytes:
    """Found in the picture of a moment, and nowhere else."""
    return f"picture of {captured_us:016d};".encode()


def word_of(start_us: int) -> str:
    """What is said in the event that begins then, and nowhere else."""
    return f"spoken{start_us:016d}"


def vector_of(captured_us: int) -> NDArray[np.float32]:
    """A direction that follows from the moment."""
    drawn = np.random.default_rng(captured_us + 1).standard_normal(DIM).astype(np.float32)
    found: NDArray[np.float32] = drawn / np.float32(np.linalg.norm(drawn))
    return found


class Directions:
    """An encoder: the text of a moment lies where its picture does."""

    dim = DIM

    def embed_texts(self, texts: list[str]) -> Vectors:
        """The last number of a text counts."""
        numbers = ["".join(filter(str.isdigit, text)) or "0" for text in texts]
        return np.stack([vector_of(int(number)) for number in numbers])

    def embed_images(self, images: list[Image]) -> Vectors:
        """Nobody asks by picture here."""
        return np.zeros((len(images), DIM), np.float32)


def clock_us() -> int:
    """The machine's monotonic clock."""
    return time.monotonic_ns() // 1000


def open_stage(folder: Path, low_water_bytes: int = 0) -> MemoryStage:
    """Memory's stage on a folder."""
    config = MemoryConfig(
        str(folder / "streams"), str(folder / "cache"), ModelConfig(""), low_water_bytes=low_water_bytes
    )
    return MemoryStage(config, Directions(), Directions(), clock_us)


def drive(stage: MemoryStage) -> list[MemoryOutput]:
    """Step until nothing is left to do."""
    outputs: list[MemoryOutput] = []
    while stage.has_work():
        outputs += stage.step()
    return outputs


@dataclass
class Feeder:
    """One stream's life in this process. size: bytes of a picture."""

    stage: MemoryStage
    key: str
    size: int
    forgetting: bool
    say: Callable[..., None]
    next_us: int = 0
    full: bool = False
    _kept: deque[str] = field(default_factory=deque)
    _requests: dict[int, str] = field(default_factory=dict)
    _barrier: int = 0

    def open(self) -> None:
        """Take the stream up where it ends, or make it."""
        restored = {one.stream: one for one in drive(self.stage) if isinstance(one, StreamRestored)}
        known = restored.get(self.key)
        self.stage.submit(OpenMemory(self.key, START_WALL_US, "{}", MemoryOptions(), "UTC"))
        outputs = drive(self.stage)
        if any(isinstance(one, MemoryOpened) and one.fault is None for one in outputs):
            self.say("opened", self.key)
        # The next whole event of the raster, whatever was there.
        self.next_us = 0 if known is None else -(-(known.end_us + 1) // EVENT_US) * EVENT_US

    def event(self, number: int) -> None:
        """Feed one event, wait until it is as far on the disk as it comes; forget an older one now and then."""
        at = self.next_us
        for n in range(3):
            moment = at + n * S
            data = frame_bytes(moment, self.size)
            self.stage.submit(
                Percept(self.key, moment, 0, data, vector_of(moment).tobytes(), n == 0, at if n == 0 else 0)
            )
        self.stage.submit(Speech(self.key, at, at + S, word_of(at)))
        self._barrier += 1
        self.stage.submit(Barrier(self.key, self._barrier))
        self.next_us = at + EVENT_US
        if self.forgetting and number % _FORGET_EVERY == 0 and len(self._kept) > _BEHIND:
            event = self._kept.popleft()
            self._requests[number + 1] = event
            self.say("asked", self.key, event)
            self.stage.submit(Forget(self.key, number + 1, event, 0, 0))
        self._take(drive(self.stage))

    def _take(self, outputs: list[MemoryOutput]) -> None:
        for output in outputs:
            match output:
                case EventCommitted(event):
                    self._kept.append(event.id)
                    self.say("kept", self.key, event.id, event.start_us, event.end_us)
                case Forgotten():
                    self.say("forgot", self.key, self._requests.pop(output.request))
                case BarrierReached(_, _, fault) | MemoryStatus(fault=fault):
                    self._tell_full(fault is not None and fault.code == "storage_full")
                case _:
                    pass

    def _tell_full(self, full: bool) -> None:
        if full and not self.full:
            self.say("full", self.key)
        self.full = full


def say(*words: object) -> None:
    """A line that is out when this returns: whatever dies after it, it was said."""
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def _numbers(events: int) -> Iterator[int]:
    number = 0
    while number < events or events == 0:
        number += 1
        yield number


def main() -> None:
    """Feed until the events are through, or until killed."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.micro.durable.feeder", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", default="default/cam")
    parser.add_argument("--events", type=int, default=0, help="0: until killed")
    parser.add_argument("--size", type=int, default=6000)
    parser.add_argument("--crash-at", choices=failpoints.NAMES)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--no-forgetting", action="store_true")
    given = parser.parse_args()
    if given.crash_at:
        failpoints.arm(given.crash_at, given.times)
    began = time.monotonic()
    stage = open_stage(given.folder)
    feeder = Feeder(stage, given.key, given.size, not given.no_forgetting, say)
    feeder.open()
    say("ready", round(time.monotonic() - began, 3))
    for number in _numbers(given.events):
        feeder.event(number)
    stage.close()
    say("done")


if __name__ == "__main__":
    main()
