"""What a live stream does that is not kept up with: it stays current, does with its keyframes, and says so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from perception.backlog import LATE_US
from perception.decode import is_keyframe
from perception.messages import Gap, Percept, PushSource, Unchanged
from perception.sparing import BEHIND_US, LOOK_US

SECOND = 1_000_000
FPS = 10


def picture(n: int) -> NDArray[np.uint8]:
    rgb = np.full((96, 160, 3), 90, np.uint8)
    rgb[20:60, n * 3 % 120 :][:, :30] = (220, 40, 60)
    return rgb


@pytest.fixture
def video(encoded: Any) -> Callable[..., list[bytes]]:
    """Units with a keyframe a second."""

    def make(seconds: int, encoder: str = "libx264", **options: str) -> list[bytes]:
        units: list[bytes] = encoded(encoder, [picture(n) for n in range(seconds * FPS)], FPS, g=str(FPS), **options)
        return units

    return make


def seen_us(outputs: list[object]) -> list[int]:
    return [one.media_us for one in outputs if isinstance(one, Percept | Unchanged)]


def send(bench: Any, units: list[bytes], first: int = 0, codec: str = "h264") -> None:
    for n, unit in enumerate(units, first):
        bench.send(codec, unit, n * SECOND // FPS)


def test_a_stream_that_is_late_goes_on_with_what_came_lately_and_the_gap_is_told(bench: Any, video: Any) -> None:
    units = video(8)
    bench.open(PushSource("real"))
    bench.start()
    send(bench, units[:10])
    bench.now_us = 950_000
    first = bench.run()
    assert max(seen_us(first)) < SECOND
    send(bench, units[10:], 10)
    bench.now_us = 10 * SECOND + LATE_US
    outputs = bench.run()
    gaps = [one for one in outputs if isinstance(one, Gap)]
    assert [(gap.reason, gap.start_us, gap.end_us) for gap in gaps] == [("overload", 900_000, 7 * SECOND)]
    assert min(seen_us(outputs)) == 7 * SECOND
    status = bench.status(outputs)
    assert (status.dropped, status.received, status.fault) == (60, 20, None)


def test_a_second_that_is_dropped_is_no_gap(bench: Any, video: Any) -> None:
    units = video(6)
    bench.open(PushSource("real"))
    bench.start()
    send(bench, units[:38])
    bench.now_us = 3_800_000
    bench.run()
    send(bench, units[38:], 38)
    bench.now_us = 3_800_000 + LATE_US
    outputs = bench.run()
    assert bench.status(outputs).dropped > 0
    assert [one for one in outputs if isinstance(one, Gap)] == []


def overloaded(bench: Any, units: list[bytes], codec: str = "h264") -> None:
    """Two looks at a stage that is late and that decodes all the time."""
    watched = next(iter(bench.stage._streams.values()))
    for second in range(3):
        send(bench, units[second * FPS : (second + 1) * FPS], second * FPS, codec)
        bench.now_us = second * (LOOK_US + 1) + BEHIND_US + SECOND
        watched.rest_us = LOOK_US
        while bench.stage.has_work():
            bench.stage.step()


@pytest.mark.parametrize(
    ("encoder", "codec", "options"),
    [
        ("libx264", "h264", {}),
        ("libx264", "h264", {"bf": "3", "tune": "psnr"}),
        ("libx265", "h265", {}),
        ("libvpx", "vp8", {}),
        ("libvpx-vp9", "vp9", {}),
    ],
)
def test_a_stage_that_does_not_keep_up_decodes_keyframes_alone_each_at_once(
    bench: Any, video: Any, encoder: str, codec: str, options: dict[str, str]
) -> None:
    units = video(8, encoder, **options)
    bench.open(PushSource("real"))
    bench.start()
    overloaded(bench, units, codec)
    out = bench.stage._streams["t/cam"].lane.out
    received = []
    for n in range(3 * FPS, 6 * FPS):
        bench.now_us = n * SECOND // FPS + 3 * SECOND
        bench.send(codec, units[n], n * SECOND // FPS)
        while bench.stage.has_work():
            bench.stage.step()
        received.append(out.counters.received)
    # On purpose: nothing is lost.
    assert out.counters.dropped == 0
    assert out.counters.skipped >= 27
    # With the first keyframe come those that the decoder held back.
    assert [count - received[0] for count in received] == [0] * 10 + [1] * 10 + [2] * 10
    assert out.decoded == "keyframes"


def test_a_pushed_unit_is_looked_through_for_parameters_once(
    bench: Any, video: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bytes] = []

    def spy(codec: str, data: bytes) -> bool:
        looked.append(data)
        return is_keyframe(codec, data)

    monkeypatch.setattr("perception.keyframes.is_keyframe", spy)
    units = video(2)
    bench.open(PushSource("real"))
    bench.start()
    send(bench, units)
    bench.now_us = LATE_US + SECOND
    assert bench.status(bench.run()).received == 10, "it went on with its second keyframe"
    assert looked == units


def test_what_a_stream_costs_is_counted_apart_for_its_keyframes(bench: Any, video: Any) -> None:
    bench.open(PushSource("real"))
    bench.start()
    lane, begins = bench.stage._streams["t/cam"].lane, []
    send(bench, video(2))
    while lane.busy:
        lane.advance()
        begins.append(lane.at_keyframe)
    assert begins[1:] == [n % FPS == 0 for n in range(2 * FPS)]


def test_all_is_decoded_again_from_a_keyframe_on(bench: Any, video: Any) -> None:
    units = video(8)
    bench.open(PushSource("real"))
    bench.start()
    overloaded(bench, units)
    lane = bench.stage._streams["t/cam"].lane
    lane.spare(True)
    send(bench, units[30:35], 30)
    bench.run()
    assert lane.out.decoded == "keyframes"
    lane.spare(False)
    before = lane.out.counters.received
    bench.stage._sparing._level = "none"
    bench.stage._sparing._spared.clear()
    send(bench, units[35:50], 35)
    status = bench.status(bench.run())
    assert (status.decoded, status.received) == ("all", before + 10)


def test_a_video_with_rare_keyframes_is_decoded_whole(bench: Any, encoded: Any) -> None:
    units = encoded("libx264", [picture(n) for n in range(60)], FPS, g="30")
    bench.open(PushSource("real"))
    bench.start()
    lane = bench.stage._streams["t/cam"].lane
    for n, unit in enumerate(units):
        lane.spare(True)
        bench.send("h264", unit, n * SECOND // FPS)
        bench.now_us = n * SECOND // FPS
        bench.stage._sparing._looked_us = bench.now_us
        while bench.stage.has_work():
            bench.stage.step()
    assert (lane.out.decoded, lane.out.counters.received) == ("all", 60)
