"""Bits flipped and files cut off: whatever memory still says is true; what it lost, it says that it lost."""

import hashlib
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evaluation.micro.durable.feeder import Feeder, S, drive, open_stage, word_of
from memory.messages import (
    FOREVER_US,
    Context,
    EventPage,
    EventRecord,
    FrameFound,
    GetFrame,
    ListEvents,
    MemoryOutput,
    MemoryStatus,
    Recall,
    Refused,
    StreamRestored,
)
from memory.stage import MemoryStage
from perception.errors import StartRefused

KEY: Final = "default/cam"
_EVENTS: Final = 12
_SIZE: Final = 3000

Fact = tuple[Any, ...]


@dataclass
class Damage:
    """wrong: facts that are none; silent: facts lost without a word; told: losses that were told; harmless: none."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    told: int = 0
    harmless: int = 0


@dataclass(frozen=True)
class _Said:
    facts: frozenset[Fact]
    complains: bool


def damage(folder: Path, flips: int, cuts: int, seed: int, progress: Callable[[str], None]) -> Damage:
    """Damage copies of two stores, one closed well and one as a power cut leaves it; ask each what it knows."""
    dice, outcome = random.Random(seed), Damage()
    images = _images(folder)
    truths = [_ask(_copied(image, folder / "scratch")).facts for image in images]
    for n in range(flips + cuts):
        which = n % len(images)
        scratch = _copied(images[which], folder / "scratch")
        what = _flip(scratch, dice) if n < flips else _cut(scratch, dice)
        _judge(outcome, what, truths[which], _ask(scratch))
        if n % 100 == 99:
            progress(f"{n + 1} of {flips + cuts} damaged copies asked, {len(outcome.wrong)} wrong answers")
    return outcome


def _images(folder: Path) -> list[Path]:
    """The same life twice: closed well, and copied while its log is full."""
    made = folder / "life"
    stage = open_stage(made)
    feeder = Feeder(stage, KEY, _SIZE, forgetting=True, say=lambda *_: None)
    feeder.open()
    for number in range(1, _EVENTS + 1):
        feeder.event(number)
    shutil.copytree(made, folder / "cut")
    for unwanted in (folder / "cut").rglob("*-shm"):
        unwanted.unlink()
    stage.close()
    return [made, folder / "cut"]


def _copied(image: Path, scratch: Path) -> Path:
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(image, scratch)
    return scratch


def _some_file(folder: Path, dice: random.Random) -> Path:
    """Any file, in proportion to its length."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return dice.choices(files, weights=[path.stat().st_size for path in files])[0]


def _flip(folder: Path, dice: random.Random) -> str:
    file = _some_file(folder, dice)
    data = bytearray(file.read_bytes())
    at, bit = dice.randrange(len(data)), dice.randrange(8)
    data[at] ^= 1 << bit
    file.write_bytes(data)
    return f"bit {bit} of byte {at} of {file.name}"


def _cut(folder: Path, dice: random.Random) -> str:
    file = _some_file(folder, dice)
    length = dice.randrange(file.stat().st_size)
    with file.open("r+b") as opened:
        opened.truncate(length)
    return f"{file.name} cut at {length}"


def _judge(outcome: Damage, what: str, truth: frozenset[Fact], said: _Said) -> None:
    outcome.tried += 1
    wrong = said.facts - truth
    if wrong:
        outcome.wrong.append(f"{what}: {sorted(map(str, wrong))[0]}")
    elif truth <= said.facts:
        outcome.harmless += 1
    elif said.complains:
        outcome.told += 1
    else:
        outcome.silent.append(f"{what}: {sorted(map(str, truth - said.facts))[0]}")


# ---------------------------------------------------------------- asking


def _ask(folder: Path) -> _Said:
    """Everything that memory says of a folder, as facts; whether it says that something is wrong."""
    try:
        stage = open_stage(folder)
    except StartRefused:
        return _Said(frozenset(), complains=True)
    try:
        return _ask_stage(stage)
    finally:
        stage.close()


def _ask_stage(stage: MemoryStage) -> _Said:
    outputs = drive(stage)
    facts: set[Fact] = {("restored", one.stream, one.end_us) for one in outputs if isinstance(one, StreamRestored)}
    if not facts:
        return _Said(frozenset(), complains=True)
    stage.submit(ListEvents(KEY, 1, None, 0, FOREVER_US, 1000, None))
    for request, start in enumerate(range(0, 3 * _EVENTS * S, 9 * S), 2):
        stage.submit(Recall(request, [KEY], f"what was {word_of(start)}", None, None, [1 << 40], 4))
    outputs += drive(stage)
    records = [record for one in outputs if isinstance(one, EventPage) for record in one.events]
    facts |= {fact for record in records for fact in _of_record(record)}
    facts |= {fact for one in outputs if isinstance(one, Context) for fact in _of_context(one)}
    found = _frames(stage, records)
    facts |= {("picture", event, n, _hash(one.jpeg)) for (event, n), one in found if isinstance(one, FrameFound)}
    outputs += [one for _, one in found]
    return _Said(frozenset(facts), complains=_complains(stage, outputs))


def _of_record(record: EventRecord) -> list[Fact]:
    told: list[Fact] = [("event", record.id, record.start_us, record.end_us, record.transcript, record.merged)]
    told.append(("span", record.id, record.start_us, record.end_us))
    return told + [("frame", record.id, frame.n, frame.media_us) for frame in record.frames]


def _of_context(context: Context) -> list[Fact]:
    told: list[Fact] = [("said", line.start_us, line.end_us, line.text) for line in context.speech]
    for one in context.evidence:
        told.append(("span", one.event, one.start_us, one.end_us))
        told += [("frame", one.event, one.n, one.media_us), ("picture", one.event, one.n, _hash(one.jpeg))]
    return told


def _frames(stage: MemoryStage, records: Sequence[EventRecord]) -> list[tuple[tuple[str, int], MemoryOutput]]:
    wanted = [(record.id, frame.n) for record in records for frame in record.frames]
    for request, (event, n) in enumerate(wanted):
        stage.submit(GetFrame(KEY, 1000 + request, event, n))
    found = [one for one in drive(stage) if isinstance(one, FrameFound | Refused)]
    return [(wanted[one.request - 1000], one) for one in found]


def _complains(stage: MemoryStage, outputs: Sequence[MemoryOutput]) -> bool:
    stream = stage._streams.get(KEY)
    if stream is None or stream.fault is not None or stream.store.reader.corrupt:
        return True
    return any(
        (isinstance(one, MemoryStatus) and (one.corrupt or one.fault is not None))
        or (isinstance(one, Refused) and one.fault.code == "internal_error")
        for one in outputs
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
