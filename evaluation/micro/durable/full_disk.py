"""Fills the file system of a folder with memories: `python -m evaluation.micro.durable.full_disk FOLDER`.

Prints `good`, or a line for each thing that went wrong.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from evaluation.micro.durable.feeder import EVENT_US, Feeder, drive, open_stage, word_of
from memory.messages import FOREVER_US, Context, EventPage, Forget, Forgotten, ListEvents, Recall
from memory.stage import MemoryStage

_KEY: Final = "default/cam"
_SIZE: Final = 200_000
_LOW_WATER_BYTES: Final = 16 * 2**20
_BALLAST_BYTES: Final = 12 * 2**20
_MOST_EVENTS: Final = 400


def main(folder: Path) -> list[str]:
    """Fill, ask, forget, free, go on."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(_BALLAST_BYTES))
    stage = open_stage(folder, _LOW_WATER_BYTES)
    feeder = Feeder(stage, _KEY, _SIZE, forgetting=False, say=lambda *_: None)
    feeder.open()
    faults = _until_full(feeder)
    faults += _reads(stage) + _forgets(stage)
    ballast.unlink()
    # Memory looks at the disk again after two seconds.
    time.sleep(2.5)
    for number in range(1000, 1004):
        feeder.event(number)
    if feeder.full:
        faults.append("nothing is stored after room was made")
    newest = _list(stage, 1)
    if not newest or newest[0].start_us < feeder.next_us - 2 * EVENT_US:
        faults.append("what came after room was made is not there")
    stage.close()
    return faults


def _until_full(feeder: Feeder) -> list[str]:
    for number in range(1, _MOST_EVENTS):
        feeder.event(number)
        if feeder.full:
            return []
    return ["the disk never was too full"]


def _reads(stage: MemoryStage) -> list[str]:
    stage.submit(Recall(1, [_KEY], f"what was {word_of(0)}", None, None, [FOREVER_US // 2], 4))
    contexts = [one for one in drive(stage) if isinstance(one, Context)]
    return [] if contexts and contexts[0].evidence else ["nothing is recalled while the disk is full"]


def _forgets(stage: MemoryStage) -> list[str]:
    before = len(_list(stage, 1000))
    stage.submit(Forget(_KEY, 2, None, 0, 2 * EVENT_US))
    forgotten = [one for one in drive(stage) if isinstance(one, Forgotten)]
    if not forgotten or not forgotten[0].events:
        return ["nothing is forgotten while the disk is full"]
    left = len(_list(stage, 1000))
    return [] if left == before - len(forgotten[0].events) else ["what was forgotten is still listed"]


def _list(stage: MemoryStage, limit: int) -> list[Any]:
    stage.submit(ListEvents(_KEY, 3, None, 0, FOREVER_US, limit, None))
    return [event for one in drive(stage) if isinstance(one, EventPage) for event in one.events]


def _print(out: Callable[[str], object], faults: list[str]) -> None:
    for fault in faults or ["good"]:
        out(fault + "\n")


if __name__ == "__main__":
    _print(sys.stdout.write, main(Path(sys.argv[1])))
