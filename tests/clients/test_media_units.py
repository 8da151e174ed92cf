"""Files taken apart for pushing: what decodes from the units is what decodes from the file."""

from pathlib import Path

import av
import numpy as np
import pytest

from clients.media import SOUND, SOUND_RATE, VIDEO, media_units
from training.world import SECOND, World, soundtrack, write_video

SCRIPT = World(2).script(6)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(SCRIPT, tmp_path_factory.mktemp("film") / "film.mp4", 160, 120, fps=10)


def test_video_units_decode_to_the_file_s_pictures(film: Path) -> None:
    units = [unit for unit in media_units(film) if unit.track == VIDEO]
    assert [unit.pts_us for unit in units] == [n * SECOND // 10 for n in range(60)]
    assert units[0].keyframe
    assert units[0].data.startswith(b"\x00\x00\x00\x01")
    decoder = av.CodecContext.create("h264", "r")
    shown = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))] + decoder.decode(None)
    with av.open(str(film)) as container:
        for one, other in zip(shown, container.decode(video=0), strict=True):
            np.testing.assert_array_equal(one.to_ndarray(), other.to_ndarray())


def test_every_keyframe_carries_its_parameter_sets(film: Path) -> None:
    later = [unit for unit in media_units(film) if unit.track == VIDEO and unit.keyframe][1:]
    assert later
    for unit in later:
        assert {unit.data[n + 4] & 31 for n in _starts(unit.data)} >= {7, 8}


def _starts(data: bytes) -> list[int]:
    found, at = [], data.find(b"\x00\x00\x00\x01")
    while at >= 0:
        found.append(at)
        at = data.find(b"\x00\x00\x00\x01", at + 4)
    return found


def test_sound_units_are_the_sound_at_its_times(film: Path) -> None:
    units = [unit for unit in media_units(film) if unit.track == SOUND]
    heard = np.concatenate([np.frombuffer(unit.data, np.int16) for unit in units]).astype(np.float64) / 32768
    assert all(abs(unit.pts_us - n * 1024 * SECOND // SOUND_RATE) <= 1 for n, unit in enumerate(units))
    loud = np.flatnonzero(np.abs(heard) > 0.05)[0] / SOUND_RATE
    expected = np.flatnonzero(np.abs(soundtrack(SCRIPT)) > 0.05)[0] / SOUND_RATE
    assert loud == pytest.approx(expected, abs=0.07)


def test_tracks_come_in_the_order_of_their_times(film: Path) -> None:
    times = [unit.pts_us for unit in media_units(film)]
    assert times == sorted(times)


def test_what_a_file_holds_is_told(film: Path, tmp_path: Path) -> None:
    mute = write_video(SCRIPT, tmp_path / "mute.mp4", 96, 96, fps=5, sound=None)
    assert {unit.track for unit in media_units(mute)} == {VIDEO}
