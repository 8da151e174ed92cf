"""Is what was acknowledged kept, and what was forgotten gone, whatever happens to the process and its disk?

Processes killed at random and at each place where the disk changes, a file system that fills up, bits flipped and files
cut off, syncs that fail, the order of what reaches the disk, and the time until a forgotten byte is in no file. All of
it on memory's own stage, with a stand-in for the encoder.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from evaluation.checks import Check
from evaluation.micro.durable import disk
from evaluation.micro.durable.crashes import ALL_PLACES, Outcome, failpoint_cycles, kill_cycles
from evaluation.micro.durable.damage import damage
from evaluation.micro.durable.feeder import Feeder, drive, mark_of, open_stage
from evaluation.registry import Progress
from memory.messages import FOREVER_US, Forget, Forgotten

_FULL: Final = (200, 25, 1000, 400, 12)
_QUICK: Final = (10, 2, 100, 40, 3)
_WIPE_EVENTS: Final = 1500


def run(full: bool, progress: Progress) -> list[Check]:
    """Kills, deaths a place, flips, cuts, failed syncs: 200, 25, 1000, 400, 12 in the full profile."""
    kills, times, flips, cuts, syncs = _FULL if full else _QUICK
    with tempfile.TemporaryDirectory(prefix="omnilive-durable-") as made:
        folder = Path(made)
        checks = _crashes(kill_cycles(folder / "kill", kills, 1, progress), "kill")
        checks += _crashes(failpoint_cycles(folder / "at", ALL_PLACES, times, progress), "failpoint")
        progress("bits are flipped, files cut off")
        harmed = damage(folder / "damage", flips, cuts, 1, progress)
        note = (
            f"{flips} flips, {cuts} cuts: {harmed.harmless} harmless, {harmed.told} told, "
            f"{len(harmed.silent)} lost unseen{_first(harmed.wrong or harmed.silent)}"
        )
        checks.append(Check("durability.damage_wrong", len(harmed.wrong), "answers", "<= 0", note=note))
        checks.append(Check("durability.damage_unseen", len(harmed.silent), "copies", "<= 0", note=note))
        progress("a disk fills up, syncs fail")
        checks.append(_faults("durability.full_disk", lambda: disk.full_disk(folder / "full", 64)))
        checks.append(_faults("durability.order", lambda: disk.order(folder / "order", 12).faults))
        checks.append(_faults("durability.sync_error", lambda: _failed_syncs(folder, syncs)))
        progress("half of a memory is forgotten")
        checks.append(_wiped(folder / "wipe"))
    return checks


def _crashes(outcome: Outcome, name: str) -> list[Check]:
    note = (
        f"{outcome.cycles} deaths, {outcome.kept} events kept, {outcome.forgot} forgotten, "
        f"ready again after {outcome.ready_s:.2f} s at most{_first(outcome.faults)}"
    )
    if outcome.not_reached:
        note += f"; {outcome.not_reached} processes did not come by their place"
    faults = len(outcome.faults) + outcome.not_reached
    return [
        Check(f"durability.{name}_faults", faults, "faults", "<= 0", note=note),
        Check(f"durability.{name}_ready_s", outcome.ready_s, "s", "<= 10", note=note),
    ]


def _faults(name: str, measure: Callable[[], list[str]]) -> Check:
    try:
        faults = measure()
    except disk.ToolMissing as missing:
        return Check(name, None, "faults", "<= 0", note=str(missing))
    return Check(name, len(faults), "faults", "<= 0", note=_first(faults).removeprefix(": "))


def _failed_syncs(folder: Path, count: int) -> list[str]:
    """Spread over a life of some sixty of the writer's."""
    faults = []
    for n in range(count):
        at = 10 + n * 45 // count
        faults += [f"sync {at}: {one}" for one in disk.failed_sync(folder / f"sync{at}", 18, at)]
    return faults


def _wiped(folder: Path) -> Check:
    """Seconds from the acknowledgement of forgetting the older half until no file holds a byte of it."""
    stage = open_stage(folder)
    feeder = Feeder(stage, "default/cam", 8000, forgetting=False, say=lambda *_: None)
    feeder.open()
    for number in range(1, _WIPE_EVENTS + 1):
        feeder.event(number)
    half_us = feeder.next_us // 2
    stage.submit(Forget("default/cam", 1, None, 0, half_us))
    told: list[Forgotten] = []
    while not told:
        told += [one for one in stage.step() if isinstance(one, Forgotten)]
    began = time.monotonic()
    drive(stage)
    taken = time.monotonic() - began
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    left = sum(mark_of(moment) in content for moment in range(0, half_us, 1_000_000))
    stage.close()
    note = f"{len(told[0].events)} events, {told[0].bytes / 1e6:.0f} MB, {left} pictures left"
    return Check("durability.wipe_s", FOREVER_US if left else taken, "s", "<= 60", note=note)


def _first(faults: list[str]) -> str:
    return f": {faults[0]}" if faults else ""
