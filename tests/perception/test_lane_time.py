"""When things happen in a stream: media without stamps, clocks that jump, files that are read on."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from perception.messages import FileSource, Percept, PushSource, Speech, Unchanged
from training import world_sound

SECOND = 1_000_000
BOOTED = 1000 * SECOND
"""Monotonic time when these tests begin."""
PACKET_US = 20_000


def image(seed: int) -> bytes:
    colours = np.random.default_rng(seed).integers(20, 236, (9, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(colours.repeat(20, 0).repeat(20, 1)).save(buffer, "png")
    return buffer.getvalue()


def pcm(seconds: float, seed: int = 3) -> list[bytes]:
    """Someone speaks, between two seconds of silence, in packets of 20 ms."""
    silence = np.zeros(2 * 16_000, np.float32)
    sound = np.concatenate([silence, world_sound.voice(seconds, seed), silence])
    data = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
    return [data[n : n + 640] for n in range(0, len(data), 640)]


def looked_at(outputs: list[object]) -> list[int]:
    return [one.media_us for one in outputs if isinstance(one, Percept | Unchanged)]


@pytest.mark.parametrize("pace", ["real", "fast"])
@pytest.mark.parametrize("video_fps", [0, 1, 2])
def test_speech_without_stamps_is_found_where_it_was_said(bench: Any, pace: Any, video_fps: int) -> None:
    bench.open(PushSource(pace))
    bench.start(at_us=BOOTED)
    outputs = []
    for n, data in enumerate(pcm(10)):
        at_us = BOOTED + (n + 1) * PACKET_US
        if video_fps and n % (50 // video_fps) == 0:
            bench.send("png", image(n), at_us, track=1, pts_us=None)
        bench.send("pcm_s16le", data, at_us, pts_us=None, rate=16_000, channels=1)
        outputs += bench.run()
    spoken = [one for one in outputs if isinstance(one, Speech)]
    # Here a live stream began when the wall clock, which shows the same, began to count; a fast one with its packets.
    begin_us = BOOTED if pace == "real" else 0
    assert abs(spoken[0].start_us - begin_us - 2 * SECOND) <= SECOND // 2
    assert abs(spoken[-1].end_us - begin_us - 12 * SECOND) <= SECOND // 2
    assert sum(one.end_us - one.start_us for one in spoken) >= 8 * SECOND


def test_fast_images_without_stamps_are_all_looked_at(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.start(at_us=BOOTED)
    for n in range(5):
        bench.send("png", image(n), BOOTED + n * SECOND, pts_us=None)
    assert looked_at(bench.run()) == [n * SECOND for n in range(5)]


def test_a_wall_clock_that_steps_back_blinds_nobody(bench: Any) -> None:
    bench.open(PushSource("real"))
    bench.start(at_us=BOOTED)
    for n in range(50):
        wall_us = BOOTED + n * 100_000 - (3600 * SECOND if n >= 10 else 0)
        bench.send("png", image(n), BOOTED + n * 100_000, pts_us=n * 100_000, arrival_wall_us=wall_us)
    times = looked_at(bench.run())
    assert times == [BOOTED + n * 500_000 for n in range(10)]


def test_pictures_of_a_file_whose_stamps_go_back_are_seen(bench: Any) -> None:
    bench.open(FileSource("x", "fast"))
    bench.start(0)
    for n in range(20):
        bench.send("png", image(n), n % 10 * SECOND, session=0)
    outputs = bench.run()
    assert bench.status(outputs).received == 20
    assert len({one.jpeg for one in outputs if isinstance(one, Percept)}) >= 10
    assert bench.status(outputs).last_media_us > 9 * SECOND


def test_a_file_that_is_read_on_shows_nothing_twice(bench: Any) -> None:
    bench.open(FileSource("x", "fast"), resume_us=3 * SECOND)
    bench.start(0)
    for n in range(6):
        bench.send("png", image(n), n * SECOND, session=0)
    assert looked_at(bench.run()) == [4 * SECOND, 5 * SECOND]
