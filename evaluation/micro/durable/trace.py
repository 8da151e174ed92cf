"""What a process asked of the disk, in which order: a trace of its system calls, read and judged."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

CALLS: Final = "fsync,fdatasync,rename,write,pwrite64,ftruncate"
ACKNOWLEDGING: Final = ("opened", "kept", "forgot")
_CALL: Final = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+=\s+(-?\d+)")
_RESUMED: Final = re.compile(r"^(\d+)\s+<\.\.\. \w+ resumed>(.*)$")
_UNFINISHED: Final = re.compile(r"^(\d+\s+.*) <unfinished \.\.\.>$")
_FILE: Final = re.compile(r"^\d+<([^>]*)>")
_QUOTED: Final = re.compile(r'"([^"]*)"')


@dataclass
class Order:
    """What is wrong with the order of a trace: [] if nothing is. syncs, acknowledged: how many of each it saw; failed:
    syncs of databases and logs that failed; injected: those of folders too.

    after_failure: writes to a log behind a sync that failed: what is in the page cache then is not known.
    """

    faults: list[str] = field(default_factory=list)
    syncs: int = 0
    acknowledged: int = 0
    after_failure: int = 0
    failed: int = 0
    injected: int = 0


def judge(lines: Iterable[str]) -> Order:
    """Every acknowledgement stands behind the sync of what was written before it; every rename behind the sync of what
    is renamed, and a sync of its folder before the next acknowledgement; no log begins anew before its database is
    synced."""
    order, dirty, unsynced = Order(), set[str](), set[str]()
    for name, arguments, status in _calls(lines):
        file = _FILE.match(arguments)
        path = file[1] if file else ""
        if name in {"fsync", "fdatasync"}:
            order.syncs += 1
            # SQLite itself lets the sync of a folder fail; ours, which follow, do not.
            order.failed += status < 0 and path.endswith((".sqlite", ".sqlite-wal"))
            order.injected += status < 0
            if status == 0:
                dirty.discard(path)
                unsynced.discard(path)
        elif name == "rename":
            _rename(order, arguments, dirty, unsynced)
        elif name in {"pwrite64", "ftruncate"} and path.endswith((".sqlite", ".sqlite-wal")):
            _write(order, name, arguments, path, dirty)
        elif name == "write" and arguments.startswith("1<"):
            _acknowledge(order, arguments, dirty, unsynced)
    return order


def _write(order: Order, name: str, arguments: str, path: str, dirty: set[str]) -> None:
    anew = name == "ftruncate" or arguments.endswith(", 0")
    order.after_failure += order.failed > 0 and path.endswith("-wal")
    if path.endswith("-wal") and anew and path.removesuffix("-wal") in dirty:
        order.faults.append("a log begins anew over a database that is not synced")
    dirty.add(path)


def _rename(order: Order, arguments: str, dirty: set[str], unsynced: set[str]) -> None:
    old, new = _QUOTED.findall(arguments)[:2]
    left = {path for path in dirty if PurePosixPath(old) in PurePosixPath(path).parents or path == old}
    if left:
        order.faults.append("a rename of what is not synced")
    unsynced.add(str(PurePosixPath(new).parent))


def _acknowledge(order: Order, arguments: str, dirty: set[str], unsynced: set[str]) -> None:
    said = _QUOTED.findall(arguments)
    if not said or not said[0].startswith(ACKNOWLEDGING):
        return
    order.acknowledged += 1
    if any(path.endswith("-wal") for path in dirty):
        order.faults.append(f"told before it was synced: {said[0][:20]}")
    if unsynced:
        order.faults.append(f"told before its folder was synced: {said[0][:20]}")


def _calls(lines: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """(name, arguments, status); calls of other threads that came between are put together again."""
    begun: dict[str, str] = {}
    for line in lines:
        line = line.rstrip("\n")
        unfinished, resumed = _UNFINISHED.match(line), _RESUMED.match(line)
        if unfinished:
            begun[line.split(None, 1)[0]] = unfinished[1]
            continue
        if resumed:
            line = begun.pop(resumed[1], "") + resumed[2]
        call = _CALL.match(line)
        if call:
            yield call[1], call[2], int(call[3])
