"""One line a second, however often it happens."""

import logging

import pytest

from server.ipc.warn import RateLimitedWarning

pytestmark = pytest.mark.alone


def test_it_tells_once_a_second_and_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    now = [10.0]
    warn = RateLimitedWarning(logging.getLogger("test"), "%d frames dropped", clock=lambda: now[0])
    warn()
    for _ in range(99):
        now[0] += 0.009
        warn(2)
    now[0] += 1.0
    warn()
    assert [record.getMessage() for record in caplog.records] == ["1 frames dropped", "199 frames dropped"]
    assert warn.total == 200
