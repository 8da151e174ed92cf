"""Disks that fill up, syncs that fail, and the order in which things reach the disk; with Linux's own tools."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from evaluation.hardware import ROOT
from evaluation.micro.durable.audit import Acknowledged, audit
from evaluation.micro.durable.crashes import SIZE, command
from evaluation.micro.durable.trace import CALLS, Order, judge

_PATIENCE_S: Final = 120.0


class ToolMissing(RuntimeError):
    """This machine lacks what the check needs; the text says what."""


def order(folder: Path, events: int) -> Order:
    """The trace of a feeder's whole life. Raises ToolMissing."""
    traced, _ = _traced(folder, events, [])
    return traced


def failed_sync(folder: Path, events: int, at: int) -> list[str]:
    """What is wrong when the at-th sync fails: anything written behind it, anything lost that was told."""
    traced, said = _traced(folder, events, ["-e", f"inject=fdatasync,fsync:error=EIO:when={at}"])
    faults = [] if traced.injected else [f"no sync failed at {at}"]
    if traced.after_failure:
        faults.append(f"{traced.after_failure} writes behind the sync that failed at {at}")
    return faults + audit(folder, said, SIZE)


def _traced(folder: Path, events: int, more: list[str]) -> tuple[Order, Acknowledged]:
    strace = _tool("strace")
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder.parent / f"{folder.name}.trace"
    feeder = command(folder, "--events", str(events), "--size", str(SIZE))
    tracing = [strace, "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", *more, "-o", str(trace)]
    done = subprocess.run(
        [*tracing, *feeder], cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    if not trace.exists() or "PTRACE" in done.stderr:
        raise ToolMissing("strace may trace nothing here")
    said = Acknowledged()
    said.take(done.stdout.splitlines(keepends=True))
    with trace.open() as lines:
        return judge(lines), said


def full_disk(folder: Path, megabytes: int) -> list[str]:
    """A file system of so many megabytes that fills up; what is wrong with how memory bears it. Raises ToolMissing."""
    unshare = _tool("unshare")
    folder.mkdir(parents=True, exist_ok=True)
    mount = f'mount -t tmpfs -o size={megabytes}m none "$0" && exec "$@"'
    inner = [sys.executable, "-m", "evaluation.micro.durable.full_disk", str(folder)]
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", mount, str(folder), *inner], cwd=ROOT, capture_output=True, text=True,
        timeout=_PATIENCE_S, check=False,
    )  # fmt: skip
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        raise ToolMissing("no file system of its own can be mounted here: user namespaces are needed")
    if done.returncode != 0 and not done.stdout:
        return [f"ended with status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"]
    return [line for line in done.stdout.splitlines() if line != "good"]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is not installed")
    return found
