"""Bars W1 and W2: who does not read is dropped, who reads slowly gets the newest, and nobody else notices."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from raw import BINARY, PING, TEXT, RawSocket
from websockets.sync.client import connect

pytestmark = pytest.mark.alone

GONE_S = 15.0
LATE_S = 2.0
CRAWL = 10_000.0


def picture(seed: int, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "JPEG", quality=60)
    return out.getvalue()


@pytest.fixture
def busy(server: Any) -> Iterator[Callable[[int], None]]:
    """A stream `busy` into which ten different pictures of a size are pushed a second, once they are asked for."""
    over = threading.Event()
    body = {"id": "busy", "source": {"push": True, "pace": "real"}, "sample": {"fps": 10}}
    sending: list[threading.Thread] = []

    def send(pixels: int) -> None:
        pictures = [picture(n, (pixels, pixels)) for n in range(8)]
        with connect(f"{server.ws}/v1/streams/busy/live") as ws:
            ws.send(json.dumps({"type": "subscribe", "topics": []}))
            n = 0
            while not over.wait(0.1):
                ws.send(pictures[n % len(pictures)])
                n += 1

    def start(pixels: int) -> None:
        sending.append(threading.Thread(target=send, args=(pixels,)))
        sending[-1].start()

    with server.client() as client:
        assert client.post("/v1/streams", json=body).status_code == 201
        yield start
        over.set()
        for thread in sending:
            thread.join(20)
        client.delete("/v1/streams/busy")


def value(server: Any, name: str) -> float:
    with server.client() as client:
        text = client.get("/metrics").text
    return float(next((line.split()[-1] for line in text.splitlines() if line.startswith(name)), 0))


def test_w1_a_client_that_stops_reading_is_gone_in_time(server: Any, busy: Any, until: Any) -> None:
    busy(96)
    process = psutil.Process(server.pid)
    with RawSocket(server.url, "/v1/streams/busy/live") as good, ExitStack() as stalled:
        good.say(type="subscribe", topics=["frames"])
        good.message("frame")
        before, rss = value(server, "omnilive_connections"), process.memory_info().rss
        for n in range(20):
            one = stalled.enter_context(RawSocket(server.url, "/v1/streams/busy/live", receive_bytes=4096))
            # Half of them are stuck behind what is sent to them, half are only not there when they are asked.
            one.say(type="subscribe", topics=["frames", "events", "state"] if n % 2 else [])
        began, seen = time.monotonic(), 0
        assert value(server, "omnilive_connections") >= before + 20
        while value(server, "omnilive_connections") > before:
            assert time.monotonic() - began < GONE_S, "they are still there"
            good.message("frame")
            seen += 1
        assert seen > 10, "the one that reads is served all the time"
        assert process.memory_info().rss - rss <= 20 * 2**20


class Quick(threading.Thread):
    """A client that reads all at once: when each frame could be had."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.seen: dict[str, float] = {}
        self._url = url

    def run(self) -> None:
        with RawSocket(self._url, "/v1/streams/busy/live") as quick:
            quick.say(type="subscribe", topics=["frames"])
            while "end" not in self.seen:
                self.seen[quick.message("frame")["time"]] = time.monotonic()


def test_w2_a_slow_reader_gets_the_newest(server: Any, busy: Any) -> None:
    dropped = value(server, 'omnilive_client_messages_dropped_total{topic="frames"}')
    busy(48)
    quick, came = Quick(server.url), []
    quick.start()
    with RawSocket(server.url, "/v1/streams/busy/live", receive_bytes=4096) as slow:
        slow.say(type="subscribe", topics=["frames"])
        began = time.monotonic()
        while time.monotonic() - began < 9:
            opcode, payload = slow.receive(CRAWL)
            if opcode == TEXT and json.loads(payload)["type"] == "frame":
                while (opcode := slow.receive(CRAWL)[0]) == PING:
                    pass
                assert opcode == BINARY
                came.append((json.loads(payload)["time"], time.monotonic()))
        slow.say(type="cancel", id="none")
        assert slow.message("error")["error"]["code"] == "question_not_found"
    quick.seen["end"] = 0.0
    quick.join(20)
    # The first one waits behind the greeting.
    ages = [at - quick.seen[frame] for frame, at in came[1:] if frame in quick.seen]
    assert len(ages) > 5
    assert max(ages) <= LATE_S, ages
    assert value(server, 'omnilive_client_messages_dropped_total{topic="frames"}') > dropped
