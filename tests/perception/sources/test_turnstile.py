"""Readers that wait for their turn."""

import threading
import time

from perception.sources.turnstile import Turnstile


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
