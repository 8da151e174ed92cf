"""The net under a reader: what no rule foresees is told, a camera is read again, and no secret leaves."""

import logging
import threading
from typing import Any

import pytest
from reading import Inbox

from perception.messages import SessionEnded
from perception.sources import guard
from perception.sources.guard import run_guarded

SECRET = "rtsp://admin:s3cret@10.0.0.1/live"


class Failing:
    """A reader that throws so often, then ends."""

    stream, session = "t/cam", 7

    def __init__(self, failures: int, endless: bool) -> None:
        self.endless = endless
        self.runs, self._failures = 0, failures

    def run(self, inbox: Any, stop: threading.Event) -> None:
        self.runs += 1
        if self.runs <= self._failures:
            raise RuntimeError(SECRET)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(guard, "_PAUSE_S", 0.0)


def test_a_camera_whose_reader_fails_is_told_and_read_again(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    reader, inbox = Failing(2, endless=True), Inbox()
    run_guarded(reader, inbox, threading.Event())
    assert reader.runs == 3
    found = [record for _, record in inbox.drain()]
    assert [(end.stream, end.session, end.final, end.fault.code) for end in found] == [
        ("t/cam", 7, False, "camera_closed")
    ] * 2
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text + str(found)


def test_a_file_whose_reader_fails_has_failed() -> None:
    reader, inbox = Failing(1, endless=False), Inbox()
    run_guarded(reader, inbox, threading.Event())
    assert reader.runs == 1
    ((_, end),) = inbox.drain()
    assert isinstance(end, SessionEnded)
    assert (end.final, end.fault and end.fault.code) == (True, "source_invalid")


def test_a_reader_that_is_stopped_is_not_started_again() -> None:
    reader, stop = Failing(9, endless=True), threading.Event()
    stop.set()
    run_guarded(reader, Inbox(), stop)
    assert reader.runs == 0
