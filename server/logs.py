"""Logs to stderr as text or JSON, with request and stream id, behind one redactor that knows every secret."""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Literal, TextIO

from server.times import wall_text

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request under way."""

stream_id: ContextVar[str] = ContextVar("stream_id", default="")
"""Of the stream that a piece of work is about."""

_HIDDEN = "***"
_USERINFO = re.compile(r"(?<=://)[^\s/\"'<>]*@")
_KEYS = re.compile(r"(?i)\b(bearer\s+)\S+|omnilive\.key\.[^\s,\"']+|\bol_[A-Za-z0-9_-]{8,}")
_SHORTEST = 4
"""Shorter secrets would blot out ordinary text; as userinfo of a URL they are hidden all the same."""


class Redactor:
    """Replaces registered secrets, userinfo in URLs, and keys."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secrets: Iterable[str]) -> None:
        """From now on these are never written."""
        with self._lock:
            self._secrets.update(one for one in secrets if len(one) >= _SHORTEST)
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(self, text: str) -> str:
        """The text without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(_HIDDEN, text)
        text = _USERINFO.sub(f"{_HIDDEN}@", text)
        return _KEYS.sub(lambda match: (match[1] or "") + _HIDDEN, text)


redactor = Redactor()
"""The one that all logs of this process go through."""


def keep_secret(secret: str) -> None:
    """From now on this is never written by this process."""
    redactor.add([secret])


class TextFormatter(logging.Formatter):
    """One line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, and the ids where there are any."""
        ids = "".join(f" {name}={value}" for name, value in _ids(record).items())
        level = record.levelname.lower()
        line = f"{wall_text(round(record.created * 1e6))} {level:7} {record.name}: {record.getMessage()}{ids}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redactor.clean(line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """`time`, `level`, `logger`, `message`, `request` and `stream` where known, `exception`."""
        entry = {
            "time": wall_text(round(record.created * 1e6)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: redactor.clean(value) for key, value in entry.items()}, ensure_ascii=False)


def _ids(record: logging.LogRecord) -> dict[str, str]:
    found = {"request": getattr(record, "request", request_id.get()), "stream": getattr(record, "stream", "")}
    found["stream"] = found["stream"] or stream_id.get()
    return {name: value for name, value in found.items() if value}


def set_up(form: Literal["text", "json"], level: str, to: TextIO | None = None) -> None:
    """Send the whole process's logs to stderr. Web server noise below warnings stays out: doors log for themselves."""
    handler = logging.StreamHandler(to or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
