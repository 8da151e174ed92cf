"""Decoders: every video codec there and back, sound to 16 kHz mono."""

import random
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakecam.films import claiming

from clients.media import VIDEO, MediaUnit, media_units
from evaluation.clips import moving_picture, moving_video
from perception.config import SampleConfig
from perception.decode import (
    SAMPLE_RATE,
    Picture,
    Sound,
    SoundDecoder,
    Undecodable,
    VideoDecoder,
    is_keyframe,
    is_picture,
    is_sound,
)
from perception.messages import Packet

SECOND = 1_000_000
MOST_PIXELS = 4_000_000
WIDTH, HEIGHT = 320, 180
CODECS = {"libx264": "h264", "libx265": "h265", "libvpx": "vp8", "libvpx-vp9": "vp9"}
ENCODERS = pytest.mark.parametrize("encoder", CODECS)


def packet(codec: str, data: bytes, pts_us: int | None = 0, **more: Any) -> Packet:
    return Packet("t/cam", 1, 0, codec, data, pts_us, 0, 0, **more)


def psnr(one: Any, other: Any) -> float:
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def scene() -> Any:
    return moving_picture(WIDTH, HEIGHT, 0.0, 0)


# ---------------------------------------------------------------- video


def encoded(encoder: str, frames: int = 10, **options: str) -> list[tuple[int, bytes]]:
    """Access units of a moving scene at 10 frames a second, in the order of decoding, with their stamps."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 10)
    context.bit_rate, context.thread_count = 4_000_000, 1
    quick = {"preset": "veryfast", "tune": "zerolatency", "crf": "12"}
    if encoder == "libx265":
        quick["x265-params"] = "log-level=none"
    context.options = {**(quick if "x26" in encoder else {"lag-in-frames": "0", "deadline": "realtime"}), **options}
    found = []
    for n in [*range(frames), None]:
        frame = None if n is None else pictured(n)
        found += [(round(one.pts * SECOND / 10), bytes(one)) for one in context.encode(frame)]
    return found


def pictured(n: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(moving_picture(WIDTH, HEIGHT, n / 10, 0), format="rgb24")
    frame = frame.reformat(format="yuv420p")
    frame.pts, frame.time_base = n, Fraction(1, 10)
    return frame


def luma(frame: av.VideoFrame) -> Any:
    return frame.to_ndarray()[:HEIGHT]


def decode_all(decoder: VideoDecoder, codec: str, stream: list[tuple[int, bytes]]) -> list[Picture]:
    found = [picture for at, data in stream for picture in decoder.decode(packet(codec, data, at))]
    return found + list(decoder.flush())


@ENCODERS
def test_every_codec_gives_each_frame_with_its_stamp(encoder: str) -> None:
    codec = CODECS[encoder]
    pictures = decode_all(VideoDecoder(codec, b"", MOST_PIXELS), codec, encoded(encoder))
    assert [picture.pts_us for picture in pictures] == [n * SECOND // 10 for n in range(10)]
    for n, picture in enumerate(pictures):
        assert picture.rgb is None
        assert (picture.frame.width, picture.frame.height) == (WIDTH, HEIGHT)
        assert psnr(luma(picture.frame), luma(pictured(n))) > 30
        assert psnr(luma(picture.frame), luma(pictured(n + 3))) < 30


@ENCODERS
def test_a_frame_is_out_as_soon_as_its_unit_is_in(encoder: str) -> None:
    codec = CODECS[encoder]
    decoder = VideoDecoder(codec, b"", MOST_PIXELS)
    at, data = encoded(encoder, 1)[0]
    assert [picture.pts_us for picture in decoder.decode(packet(codec, data, at))] == [0]


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_frames_that_are_sent_out_of_order_come_in_order(encoder: str) -> None:
    codec = CODECS[encoder]
    more = {"x265-params": "log-level=none:bframes=3:b-adapt=0"} if encoder == "libx265" else {"b-adapt": "0"}
    stream = encoded(encoder, 12, tune="psnr", bf="3", **more)
    stamps = [at for at, _ in stream]
    assert stamps != sorted(stamps)
    pictures = decode_all(VideoDecoder(codec, b"", MOST_PIXELS), codec, stream)
    assert [picture.pts_us for picture in pictures] == sorted(stamps)
    for n, picture in enumerate(pictures):
        assert psnr(luma(picture.frame), luma(pictured(n))) > 30


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_units_before_the_first_parameters_are_dropped_and_counted(encoder: str) -> None:
    codec = CODECS[encoder]
    stream = encoded(encoder, 10)
    decoder, dropped = VideoDecoder(codec, b"", MOST_PIXELS), 0
    for at, data in stream[4:]:
        with pytest.raises(ValueError, match="parameter sets"):
            list(decoder.decode(packet(codec, data, at)))
        dropped += 1
    assert dropped == 6
    assert [one.pts_us for one in decode_all(decoder, codec, stream)] == [n * SECOND // 10 for n in range(10)]


@ENCODERS
def test_keyframes_are_told_from_the_units_themselves(encoder: str) -> None:
    codec = CODECS[encoder]
    short = {"x265-params": "log-level=none:keyint=4:min-keyint=4"} if encoder == "libx265" else {}
    found = [is_keyframe(codec, data) for _, data in encoded(encoder, 10, g="4", **short)]
    assert found == [n % 4 == 0 for n in range(10)]
    assert not is_keyframe(codec, b"")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (0x82, True),
        (0x86, False),
        (0x8A, False),
        (0xA2, True),
        (0xB0, True),
        (0xB2, False),
        (0xB4, False),
        (0x02, False),
    ],
)
def test_a_vp9_header_of_every_profile(header: int, key: bool) -> None:
    assert is_keyframe("vp9", bytes([header, 0x49])) is key


@pytest.mark.parametrize("encoder", ["libvpx", "libvpx-vp9"])
def test_a_codec_without_parameter_sets_drops_nothing_unasked(encoder: str) -> None:
    codec = CODECS[encoder]
    decoder = VideoDecoder(codec, b"", MOST_PIXELS)
    assert len(decode_all(decoder, codec, encoded(encoder, 3))) == 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: Any) -> Path:
    return moving_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 1.0, fps=10, size=(WIDTH, HEIGHT))


def units(path: Path) -> list[MediaUnit]:
    """The access units of a file's video, as clients push them."""
    return [unit for unit in media_units(path) if unit.track == VIDEO]


def test_parameters_that_a_container_keeps_apart_are_used(clip: Path) -> None:
    with av.open(str(clip)) as container:
        extradata = bytes(container.streams.video[0].codec_context.extradata or b"")
        stream = [(n, bytes(one)) for n, one in enumerate(container.demux(video=0)) if one.size]
    decoder = VideoDecoder("h264", extradata, MOST_PIXELS)
    assert len(decode_all(decoder, "h264", stream)) == 10


def test_a_unit_without_a_stamp_gives_a_frame_without_one(clip: Path) -> None:
    first = units(clip)[0]
    decoder = VideoDecoder("h264", b"", MOST_PIXELS)
    pictures = [*decoder.decode(packet("h264", first.data, None)), *decoder.flush()]
    assert [picture.pts_us for picture in pictures] == [None]


@ENCODERS
def test_a_video_that_is_too_large_gives_no_frame(encoder: str) -> None:
    codec = CODECS[encoder]
    ((at, data),) = encoded(encoder, 1)
    allowed = VideoDecoder(codec, b"", WIDTH * HEIGHT * 2)
    assert len([*allowed.decode(packet(codec, data, at)), *allowed.flush()]) == 1
    refused = VideoDecoder(codec, b"", WIDTH * HEIGHT // 2)
    with pytest.raises(ValueError, match="broken packet"):
        list(refused.decode(packet(codec, data, at)))


def test_a_bomb_of_four_megabytes_is_refused_in_less_than_a_second_of_the_processor() -> None:
    """Bar I12; the bar's memory is looked at in tests/integration/test_i_cameras.py, where a process can be weighed."""
    ((_, unit),) = encoded("libx264", 1)
    filler = b"\x00\x00\x00\x01\x0c" + b"\xff" * (4 * 2**20) + b"\x80"
    bomb = claiming(unit, 16_384, 8_192) + filler
    decoder = VideoDecoder("h264", b"", SampleConfig().max_pixels)
    began = time.thread_time()
    with pytest.raises(ValueError, match="broken packet"):
        list(decoder.decode(packet("h264", bomb)))
    assert time.thread_time() - began <= 1.0
    larger = VideoDecoder("h264", b"", MOST_PIXELS)
    assert len([*larger.decode(packet("h264", unit + filler)), *larger.flush()]) == 1, "the filler harms nothing"


@pytest.mark.parametrize("codec", ["vp8", "vp9"])
def test_a_broken_unit_is_told_and_the_next_is_decoded(codec: str) -> None:
    encoder = next(one for one, name in CODECS.items() if name == codec)
    decoder, stream = VideoDecoder(codec, b"", MOST_PIXELS), encoded(encoder, 3)
    with pytest.raises(ValueError, match="broken packet"):
        list(decoder.decode(packet(codec, b"\xff" * 400)))
    assert len(decode_all(decoder, codec, stream)) == 3


def test_after_a_broken_h264_unit_the_next_are_decoded(clip: Path) -> None:
    decoder, found = VideoDecoder("h264", b"", MOST_PIXELS), units(clip)
    harmed = found[0].data[:60] + random.Random(0).randbytes(3000)
    with suppress(ValueError):
        list(decoder.decode(packet("h264", harmed)))
    pictures = decode_all(decoder, "h264", [(unit.pts_us + SECOND, unit.data) for unit in found])
    stamps = [picture.pts_us for picture in pictures if (picture.pts_us or 0) >= SECOND]
    assert stamps == [unit.pts_us + SECOND for unit in found]


@pytest.mark.parametrize("codec", ["opus", "pcm_s16le", "aac"])
def test_a_sound_codec_is_no_video_codec(codec: str) -> None:
    with pytest.raises(Undecodable) as refused:
        VideoDecoder(codec, b"", MOST_PIXELS)
    assert refused.value.fault.code == "codec_not_supported"
    assert codec in refused.value.fault.message


# ---------------------------------------------------------------- sound


def tone(rate: int, seconds: float, channels: int = 1, hertz: float = 440.0) -> Any:
    """A sine at a quarter of full scale on every channel: [samples, channels]."""
    wave = 0.25 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def pitch(samples: Any) -> float:
    return float(np.abs(np.fft.rfft(samples * np.hanning(samples.size))).argmax() * SAMPLE_RATE / samples.size)


def joined(sounds: list[Sound]) -> Any:
    assert all(sound.samples.dtype == np.float32 and sound.samples.ndim == 1 for sound in sounds)
    return np.concatenate([sound.samples for sound in sounds])


def assert_stamps_follow(sounds: list[Sound], slack_us: int) -> None:
    """Each stamp is the first one plus the sound that came in between."""
    first, count = sounds[0].pts_us, 0
    for sound in sounds:
        assert sound.pts_us is not None
        assert abs(sound.pts_us - first - count * SECOND / SAMPLE_RATE) <= slack_us
        count += sound.samples.size


def test_pcm_at_our_rate_comes_to_the_last_bit() -> None:
    levels = np.random.default_rng(0).integers(-32768, 32768, 3200).astype("<i2")
    first = packet("pcm_s16le", levels[:1600].tobytes(), 5 * SECOND, rate=16_000, channels=1)
    decoder = SoundDecoder(first)
    second = packet("pcm_s16le", levels[1600:].tobytes(), 5 * SECOND + 100_000, rate=16_000, channels=1)
    sounds = [*decoder.decode(first), *decoder.decode(second)]
    assert np.array_equal(joined(sounds), levels.astype(np.float32) / 32768)
    assert [sound.pts_us for sound in sounds] == [5 * SECOND, 5 * SECOND + 100_000]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_pcm_of_any_rate_becomes_16_khz_mono(rate: int, channels: int) -> None:
    wave = (tone(rate, 1.0, channels) * 32767).astype("<i2")
    step = rate // 50
    parts = [
        packet("pcm_s16le", wave[n * step : (n + 1) * step].tobytes(), n * 20_000, rate=rate, channels=channels)
        for n in range(50)
    ]
    decoder = SoundDecoder(parts[0])
    sounds = [sound for part in parts for sound in decoder.decode(part)]
    samples = joined(sounds)
    assert abs(samples.size - SAMPLE_RATE) <= 80
    assert pitch(samples) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(samples**2)) > 0.15
    assert sounds[0].pts_us == 0
    assert_stamps_follow(sounds, 5_000)


def test_pcm_without_a_stamp_gives_sound_without_one() -> None:
    one = packet("pcm_s16le", b"\x00\x10" * 320, None, rate=16_000, channels=1)
    sounds = list(SoundDecoder(one).decode(one))
    assert [(sound.pts_us, sound.samples.size) for sound in sounds] == [(None, 320)]


def test_half_a_sample_is_told_and_the_next_packet_is_heard() -> None:
    whole = packet("pcm_s16le", b"\x00\x10" * 640, 0, rate=16_000, channels=2)
    decoder = SoundDecoder(whole)
    with pytest.raises(ValueError, match="broken packet"):
        list(decoder.decode(packet("pcm_s16le", b"\x00\x10\x00", 0, rate=16_000, channels=2)))
    assert joined(list(decoder.decode(whole))).size == 320


def spoken(encoder: str, rate: int, channels: int, seconds: float = 1.0) -> list[Packet]:
    """A tone through an encoder, as packets whose stamps begin at three seconds."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.sample_rate, context.layout = rate, "mono" if channels == 1 else "stereo"
    context.format, context.time_base = "fltp" if encoder == "aac" else "flt", Fraction(1, rate)
    context.bit_rate = 96_000
    wave = tone(rate, seconds, channels)
    data = wave.T.copy() if encoder == "aac" else wave.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(data, format=context.format.name, layout=context.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    fifo = av.AudioFifo()
    context.open()
    fifo.write(frame)
    units: list[Any] = []
    while (part := fifo.read(context.frame_size)) is not None:
        units += context.encode(part)
    units += context.encode(None)
    return [
        packet(
            "aac" if encoder == "aac" else "opus",
            bytes(unit),
            3 * SECOND + round(unit.pts * unit.time_base * SECOND),
            rate=rate,
            channels=channels,
            extradata=bytes(context.extradata or b"") if encoder == "aac" else b"",
        )
        for unit in units
    ]


@pytest.mark.parametrize(("encoder", "rate"), [("aac", 44_100), ("aac", 48_000), ("libopus", 48_000)])
@pytest.mark.parametrize("channels", [1, 2])
def test_compressed_sound_becomes_16_khz_mono(encoder: str, rate: int, channels: int) -> None:
    packets = spoken(encoder, rate, channels)
    decoder = SoundDecoder(packets[0])
    sounds = [sound for one in packets for sound in decoder.decode(one)]
    samples = joined(sounds)
    assert abs(samples.size - SAMPLE_RATE) <= SAMPLE_RATE * 0.08
    assert pitch(samples[1600:-1600]) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(samples[1600:-1600] ** 2)) > 0.15
    assert sounds[0].pts_us is not None
    assert abs(sounds[0].pts_us - (packets[0].pts_us or 0)) <= 50_000
    assert_stamps_follow(sounds, 25_000)


def test_sound_that_changes_its_channels_or_rate_is_heard_on() -> None:
    """As a television channel does between a film and the news: the packets say so, and nobody else."""
    stereo, mono = spoken("aac", 48_000, 2), spoken("aac", 48_000, 1)
    decoder = SoundDecoder(packet("aac", b"", 0))
    sounds = [sound for one in [*map(adts, stereo), *map(adts, mono)] for sound in decoder.decode(one)]
    assert joined(sounds).size == pytest.approx(2 * SAMPLE_RATE, rel=0.1)


def adts(one: Packet) -> Packet:
    """The packet with a header of its own (ISO/IEC 13818-7, 6.2): AAC-LC of 48 kHz."""
    size = len(one.data) + 7
    header = bytes([0xFF, 0xF1, 0x4C, one.channels << 6 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 0x1F, 0xFC])
    return packet("aac", header + one.data, one.pts_us)


@pytest.mark.parametrize("codec", ["opus", "aac"])
def test_a_broken_sound_packet_is_told_and_the_next_is_heard(codec: str) -> None:
    packets = spoken("aac" if codec == "aac" else "libopus", 48_000, 1, 0.2)
    decoder = SoundDecoder(packets[0])
    with pytest.raises(ValueError, match="broken packet"):
        list(decoder.decode(packet(codec, b"\xff" * 10, 0)))
    assert joined([sound for one in packets for sound in decoder.decode(one)]).size > 0.15 * SAMPLE_RATE


@ENCODERS
def test_an_empty_unit_is_told_and_is_not_the_end(encoder: str) -> None:
    codec = CODECS[encoder]
    decoder, stream = VideoDecoder(codec, b"", MOST_PIXELS), encoded(encoder, 4)
    before = [one for at, data in stream[:2] for one in decoder.decode(packet(codec, data, at))]
    with pytest.raises(ValueError, match="broken packet"):
        list(decoder.decode(packet(codec, b"")))
    assert len(before + decode_all(decoder, codec, stream[2:])) == 4


def test_an_empty_packet_of_sound_is_told_and_the_next_is_heard() -> None:
    whole = packet("pcm_s16le", b"\x00\x10" * 320, 0, rate=16_000, channels=1)
    decoder = SoundDecoder(whole)
    with pytest.raises(ValueError, match="broken packet"):
        list(decoder.decode(packet("pcm_s16le", b"")))
    assert joined(list(decoder.decode(whole))).size == 320


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9"])
def test_a_video_codec_is_no_sound_codec(codec: str) -> None:
    with pytest.raises(Undecodable) as refused:
        SoundDecoder(packet(codec, b"", 0, rate=16_000, channels=1))
    assert refused.value.fault.code == "codec_not_supported"
    assert codec in refused.value.fault.message


def test_codecs_are_told_apart() -> None:
    assert [is_picture(codec) for codec in ("jpeg", "png", "webp", "h264", "opus")] == [True, True, True, False, False]
    sound = [is_sound(codec) for codec in ("pcm_s16le", "opus", "aac", "h264", "h265", "vp8", "vp9", "nonsense")]
    assert sound == [True, True, True, False, False, False, False, False]
