"""The sidecar of a run, `run.jsonl`: what was run, then a line an answer; a run that was cut off goes on from it."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from evaluation.ovo.annotations import FileRefused

NAME: Final = "run.jsonl"
Key = tuple[int, int]


class AnotherRun(ValueError):
    """The folder holds a run of something else; the text names what differs."""


class Journal:
    """Open while a run goes on. Each line is on disk before the next question is asked."""

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        """head: what the run is. Raises AnotherRun, and FileRefused for a damaged file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / NAME
        known, entries, whole = _read(path)
        differs = [name for name, value in head.items() if known is not None and known.get(name) != value]
        if differs:
            raise AnotherRun(f"the folder holds a run with another {', '.join(differs)}: name another folder")
        self.entries: dict[Key, dict[str, Any]] = entries
        self._lock = threading.Lock()
        self._file = path.open("r+b" if known is not None else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)
        if known is None:
            self._append(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Keep what came of a query; a later one of the same query counts."""
        with self._lock:
            self.entries[_key(entry)] = dict(entry)
            self._append(entry)

    def responses(self) -> dict[Key, str | None]:
        """By query: what was answered."""
        with self._lock:
            return {key: entry.get("response") for key, entry in self.entries.items()}

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_entries(folder: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Head and entries of a folder's run; None and nothing where there is no run. Raises FileRefused."""
    head, entries, _ = _read(folder / NAME)
    return head, list(entries.values())


def _read(path: Path) -> tuple[dict[str, Any] | None, dict[Key, dict[str, Any]], int]:
    """Head, entries, and how many bytes of the file are whole lines."""
    try:
        content = path.read_bytes()
    except OSError:
        return None, {}, 0
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].splitlines()
    if not lines:
        return None, {}, 0
    entries = [_line(n, line) for n, line in enumerate(lines)]
    return entries[0], {_key(entry): entry for entry in entries[1:]}, whole


def _line(number: int, line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
        if number > 0:
            _key(told)
    except (ValueError, KeyError, TypeError):
        raise FileRefused(f"{NAME}: line {number + 1} is none of a run: name another folder") from None
    if not isinstance(told, dict):
        raise FileRefused(f"{NAME}: line {number + 1} is none of a run: name another folder")
    return told


def _key(entry: Mapping[str, Any]) -> Key:
    index = entry["index"]
    return int(entry["id"]), -1 if index is None else int(index)
