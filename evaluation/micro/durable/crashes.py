"""Processes that are killed while they remember and forget, and what their folders hold after that."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evaluation.hardware import ROOT
from evaluation.micro.durable.audit import Acknowledged, audit
from memory import failpoints

SIZE: Final = 6000
_MOST_EVENTS: Final = 60
"""After so many a feeder that its failpoint was not reached in ends by itself."""
_PATIENCE_S: Final = 60.0


@dataclass
class Outcome:
    """cycles: processes that died; faults: what was wrong; not_reached: failpoints that a process did not come by."""

    cycles: int = 0
    faults: list[str] = field(default_factory=list)
    not_reached: int = 0
    ready_s: float = 0.0
    kept: int = 0
    forgot: int = 0


def kill_cycles(folder: Path, cycles: int, seed: int, progress: Callable[[str], None]) -> Outcome:
    """One folder, a process after the other, each killed at a random moment."""
    dice, said, outcome = random.Random(seed), Acknowledged(), Outcome()
    for cycle in range(cycles):
        said.take(_killed_after(folder, dice.uniform(0.0, 1.0)))
        outcome.cycles += 1
        if cycle % 5 == 4 or cycle == cycles - 1:
            outcome.faults += [f"cycle {cycle}: {one}" for one in audit(folder, said, SIZE)]
            progress(f"{cycle + 1} of {cycles} processes killed, {len(said.kept)} events kept")
    return _counted(outcome, said)


def failpoint_cycles(folder: Path, names: Sequence[str], times: int, progress: Callable[[str], None]) -> Outcome:
    """At each place so many deaths, the n-th when it is reached for the n-th time; each audited."""
    said, outcome = Acknowledged(), Outcome()
    for name in names:
        for n in range(times):
            status, lines = _run_feeder(folder, *_at(name, n))
            said.take(lines)
            outcome.cycles += 1
            outcome.not_reached += status != -9
            outcome.faults += [f"{name} {n}: {one}" for one in audit(folder, said, SIZE)]
        progress(f"{times} deaths at {name}")
    return _counted(outcome, said)


def _at(name: str, n: int) -> list[str]:
    """Places where a store is made are passed once in a stream's life: each death has a stream of its own."""
    making = name in {"tmp", "fsync", "rename", "dirfsync"}
    key = f"default/{name}{n}" if making else "default/cam"
    times = 1 if making else 1 + n % 6
    return ["--key", key, "--crash-at", name, "--times", str(times), "--events", str(_MOST_EVENTS)]


def _counted(outcome: Outcome, said: Acknowledged) -> Outcome:
    outcome.ready_s = max(said.ready_s, default=0.0)
    outcome.kept, outcome.forgot = len(said.kept), len(said.forgot)
    return outcome


def command(folder: Path, *arguments: str) -> list[str]:
    """A feeder's command line."""
    return [sys.executable, "-m", "evaluation.micro.durable.feeder", str(folder), *arguments]


def _run_feeder(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """A feeder to its end; its status and what it said."""
    done = subprocess.run(
        command(folder, *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE_S, check=False
    )
    return done.returncode, done.stdout.splitlines(keepends=True)


def _killed_after(folder: Path, seconds: float) -> list[str]:
    """A feeder that is killed so long after it was ready; what it said."""
    lines: list[str] = []
    ready = threading.Event()
    with subprocess.Popen(command(folder), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith("ready"):
                    ready.set()

        reader = threading.Thread(target=read)
        reader.start()
        ready.wait(_PATIENCE_S)
        time.sleep(seconds)
        process.kill()
        process.wait()
        reader.join()
    return lines


ALL_PLACES: Final = failpoints.NAMES
