"""What a child process does around its stage: how a thread that is lost is told of."""

import threading

import pytest

from server.worker import log_lost_thread


def lose(error: BaseException, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> str:
    def fail() -> None:
        raise error

    monkeypatch.setattr(threading, "excepthook", log_lost_thread)
    thread = threading.Thread(target=fail, name="source t/cam")
    thread.start()
    thread.join()
    return caplog.text


def test_a_lost_thread_is_told_of_without_a_word_of_the_error(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = lose(RuntimeError("rtsp://admin:s3cret@10.0.0.1/live"), caplog, monkeypatch)
    assert "source t/cam" in said
    assert "RuntimeError" in said
    written = capfd.readouterr()
    assert "s3cret" not in said + written.out + written.err


def test_a_thread_that_leaves_by_itself_is_not_lost(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lose(SystemExit(), caplog, monkeypatch) == ""
