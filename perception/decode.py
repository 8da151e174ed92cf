"""Decoders of one stream's tracks: packets in; pictures with their stamps, or 16 kHz mono sound, out."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from perception.messages import Fault, Packet, VideoParameters

SAMPLE_RATE: Final = 16_000
_MICROSECOND: Final = Fraction(1, 1_000_000)
_PICTURES: Final = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
_FFMPEG_NAMES: Final = {"h265": "hevc"}
_PARAMETER_SETS: Final = {"h264": (31, 0, 7), "hevc": (63, 1, 33)}
"""Mask, shift and type of the NAL unit that carries the sequence parameters, in Annex B."""

# Our own bound is looked at before a picture is decoded; Pillow's would hide it behind a warning.
Pillow.MAX_IMAGE_PIXELS = None

Samples = NDArray[np.float32]


class Undecodable(Exception):
    """A track that cannot be decoded at all; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


@dataclass(frozen=True)
class Picture:
    """A decoded frame. pts_us: on the source's clock. rgb: where the source was an RGB image, its pixels. corrupt: the
    decoder says that it had to conceal damage, or that what the picture refers to is missing."""

    frame: av.VideoFrame
    pts_us: int | None
    rgb: NDArray[np.uint8] | None = None
    corrupt: bool = False


@dataclass(frozen=True)
class Sound:
    """Mono samples at 16 kHz, the first of them at `pts_us`."""

    samples: Samples
    pts_us: int | None

    @property
    def duration_us(self) -> int:
        """How long it lasts."""
        return int(self.samples.size) * 1_000_000 // SAMPLE_RATE


class PictureDecoder:
    """JPEG, PNG and WebP, one image a packet."""

    def __init__(self, codec: str, max_pixels: int) -> None:
        self._format = _PICTURES[codec]
        self._max_pixels = max_pixels

    def decode(self, packet: Packet) -> Iterator[Picture]:
        """The image, upright. Raises Undecodable where it is too large, ValueError where it is broken."""
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                Pillow.open(io.BytesIO(packet.data), formats=[self._format]) as image,
            ):
                if image.width * image.height > self._max_pixels:
                    raise Undecodable(Fault("image_too_large", f"send images of at most {self._max_pixels} pixels"))
                rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except Undecodable:
            raise
        except Exception as error:
            # Pillow's parsers raise what comes to hand on hostile data: struct.error, TypeError, AttributeError, ...
            raise ValueError("a broken image") from error
        yield Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), packet.pts_us, rgb)

    def flush(self) -> Iterator[Picture]:
        """Nothing is held back."""
        yield from ()


class VideoDecoder:
    """Any codec that FFmpeg decodes."""

    def __init__(self, codec: str, extradata: bytes, max_pixels: int, container: VideoParameters | None = None) -> None:
        """container: what the track's container says of it, where there is one."""
        self._name = _FFMPEG_NAMES.get(codec, codec)
        try:
            context = av.CodecContext.create(self._name, "r")
        except (av.error.FFmpegError, ValueError) as error:
            raise Undecodable(Fault("codec_not_supported", f"the codec {codec} cannot be decoded here")) from error
        if not isinstance(context, av.VideoCodecContext):
            raise Undecodable(Fault("codec_not_supported", f"{codec} is no video codec"))
        # Looked at by the decoder before it allocates: a small packet may claim a picture of gigabytes.
        context.options = {"max_pixels": str(max_pixels)}
        # Frame threads would hold back one frame each, and take a fifth more of the processors' time.
        context.thread_type = "SLICE"
        if self._name == "h264":
            # With threads it neither conceals damage nor tells of it; most cameras send a picture as one slice anyway.
            context.thread_count = 1
        if container is not None:
            _describe(context, container)
        if extradata:
            context.extradata = extradata
        self._context: Any = context
        self._started = bool(extradata) or self._name not in _PARAMETER_SETS

    def decode(self, packet: Packet) -> Iterator[Picture]:
        """The frames that are complete now, in presentation order.

        Raises ValueError where the packet is broken or comes before the first parameter sets.
        """
        self._started = self._started or _has_parameters(packet.data, self._name)
        if not self._started:
            raise ValueError("no parameter sets yet")
        unit = _unit(packet)
        unit.time_base = _MICROSECOND
        unit.pts, unit.dts = packet.pts_us, packet.pts_us if packet.dts_us is None else packet.dts_us
        yield from self._decode(unit)

    def decode_alone(self, packet: Packet) -> Iterator[Picture]:
        """A keyframe's picture, at once: a decoder that reorders would hold it back until others come.

        What comes next must be a keyframe again. Raises as `decode`.
        """
        try:
            yield from self.decode(packet)
            yield from self._decode(None)
        finally:
            self._context.flush_buffers()

    def flush(self) -> Iterator[Picture]:
        """What the decoder still holds."""
        yield from self._decode(None)

    def _decode(self, unit: "av.Packet[Any] | None") -> Iterator[Picture]:
        try:
            for frame in self._context.decode(unit):
                # Without stamps of presentation the order of decoding goes through: frames leave the decoder in theirs.
                stamp = frame.dts if frame.pts is None else frame.pts
                yield Picture(frame, None if stamp is None else int(stamp), corrupt=frame.is_corrupt)
        except av.error.FFmpegError as error:
            raise ValueError("a broken packet") from error


def _describe(context: av.VideoCodecContext, container: VideoParameters) -> None:
    """Tell a decoder what its container says: some find the size, the format of pixels or the variant nowhere else."""
    context.width, context.height = container.width, container.height
    if container.pixel_format is not None:
        context.pix_fmt = container.pixel_format
    if container.codec_tag:
        context.codec_tag = container.codec_tag
    context.bits_per_coded_sample = container.bits


class SoundDecoder:
    """Any audio codec to 16 kHz mono float32."""

    def __init__(self, packet: Packet) -> None:
        name = _FFMPEG_NAMES.get(packet.codec, packet.codec)
        try:
            context = av.CodecContext.create(name, "r")
        except (av.error.FFmpegError, ValueError) as error:
            raise Undecodable(
                Fault("codec_not_supported", f"the codec {packet.codec} cannot be decoded here")
            ) from error
        if not isinstance(context, av.AudioCodecContext):
            raise Undecodable(Fault("codec_not_supported", f"{packet.codec} is no audio codec"))
        if packet.extradata:
            context.extradata = packet.extradata
        if packet.rate:
            context.sample_rate = packet.rate
        if packet.channels:
            context.layout = (
                "mono" if packet.channels == 1 else f"{packet.channels}c" if packet.channels > 2 else "stereo"
            )
        self._context = context
        self._form: tuple[str, str, int] | None = None
        """Sample format, layout and rate that the resampler takes."""

    def decode(self, packet: Packet) -> Iterator[Sound]:
        """Samples of this packet. Raises ValueError where it is broken."""
        unit = _unit(packet)
        unit.time_base = _MICROSECOND
        unit.pts = packet.pts_us
        try:
            for frame in self._context.decode(unit):
                pts_us = None if frame.pts is None else int(frame.pts)
                frame.pts = None
                for resampled in self._resampler_of(frame).resample(frame):
                    samples = cast(Samples, resampled.to_ndarray().reshape(-1).astype(np.float32, copy=False))
                    yield Sound(samples, pts_us)
                    pts_us = None if pts_us is None else pts_us + samples.size * 1_000_000 // SAMPLE_RATE
        except av.error.FFmpegError as error:
            raise ValueError("a broken packet") from error

    def _resampler_of(self, frame: av.AudioFrame) -> AudioResampler:
        """A resampler takes one form of sound: another, in the middle of a stream, needs another one."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._form, self._resampler = form, AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        return self._resampler


def _unit(packet: Packet) -> "av.Packet[Any]":
    if not packet.data:
        # FFmpeg takes nothing for the end, and nothing after it.
        raise ValueError("a broken packet: it is empty")
    return av.Packet(packet.data)


def is_picture(codec: str) -> bool:
    """Whether each packet is an image of its own."""
    return codec in _PICTURES


def is_video(codec: str) -> bool:
    """Whether pictures may refer to others."""
    return not is_picture(codec) and not is_sound(codec)


@lru_cache(maxsize=64)
def is_sound(codec: str) -> bool:
    """Whether this codec carries sound."""
    try:
        return av.codec.Codec(_FFMPEG_NAMES.get(codec, codec), "r").type == "audio"
    except (av.error.FFmpegError, ValueError):
        return False


def is_keyframe(codec: str, data: bytes) -> bool:
    """Whether decoding can begin with this pushed unit: no packet of a client's says so itself."""
    name = _FFMPEG_NAMES.get(codec, codec)
    if name in _PARAMETER_SETS:
        return _has_parameters(data, name)
    if codec == "vp8":
        # RFC 6386, 9.1: the lowest bit of the frame tag is 0 in a key frame.
        return data != b"" and data[0] & 1 == 0
    return codec == "vp9" and data != b"" and _begins_vp9(data[0])


def _begins_vp9(header: int) -> bool:
    """VP9 bitstream 6.2: marker 10, two bits of profile (3 has one more), show_existing_frame, frame_type 0 = key."""
    shift = 1 if header & 0b00110000 == 0b00110000 else 2
    return header >> 6 == 0b10 and header >> shift & 0b11 == 0


def unit_kinds(data: bytes, name: str) -> Iterator[int]:
    """The types of the NAL units of an Annex B access unit, in order (ISO/IEC 14496-10 and 23008-2, 7.4.1).

    name: FFmpeg's, `h264` or `hevc`.
    """
    mask, shift, _ = _PARAMETER_SETS[name]
    position = data.find(b"\x00\x00\x01")
    while position != -1 and position + 3 < len(data):
        yield (data[position + 3] >> shift) & mask
        position = data.find(b"\x00\x00\x01", position + 3)


def _has_parameters(data: bytes, name: str) -> bool:
    """Whether an access unit carries sequence parameters."""
    return _PARAMETER_SETS[name][2] in unit_kinds(data, name)
