"""Readers that wait for their turn."""

import threading
import time

from perception.sources.turnstile import EVERY_S, Turnstile

FIFTY = 50
MOST_HANDSHAKES, BACK_S = 10, 30.0
"""Bar I13: in any second; until all have been opened."""


def test_fifty_cameras_that_return_at_once_are_no_storm_and_none_waits_long() -> None:
    turnstile = Turnstile(EVERY_S)
    turns = [turnstile.turn_s(100.0) for _ in range(FIFTY)]
    assert turns[0] == 100.0
    assert max(2 * sum(at <= one < at + 1 for one in turns) for at in turns) <= MOST_HANDSHAKES
    assert turns[-1] <= 100.0 + BACK_S / 2
    assert turnstile.turn_s(500.0) == 500.0, "who comes late waits for nobody"


def test_the_first_goes_at_once_and_each_next_one_later() -> None:
    turnstile, stop, passed = Turnstile(0.05), threading.Event(), []

    def go() -> None:
        assert turnstile.wait(stop)
        passed.append(time.monotonic())

    began = time.monotonic()
    threads = [threading.Thread(target=go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(passed) - began >= 5 * 0.05


def test_who_is_stopped_does_not_pass() -> None:
    turnstile, stop = Turnstile(60.0), threading.Event()
    assert turnstile.wait(stop)
    stop.set()
    assert not turnstile.wait(stop)
