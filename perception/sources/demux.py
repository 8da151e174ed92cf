"""Packets out of an open container, as the stage takes them: shared by files and cameras."""

import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final

import av
from av.container import InputContainer
from av.stream import Disposition

from perception.messages import Fault, Packet, VideoParameters

READ_ERRORS: Final = (av.error.FFmpegError, OSError, ValueError)
"""What opening, seeking and reading throw: half of FFmpeg's errors are no OSErrors."""

Raw = Any
"""A packet as the container has it."""


def tracks(container: InputContainer) -> list[Any]:
    """The first video and the first audio stream that can be decoded; none at all where that is no video."""
    videos = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    found = [_decodable(videos), _decodable(container.streams.audio)]
    return [stream for stream in found if stream is not None] if found[0] is not None else []


def _decodable(streams: Iterable[Any]) -> Any | None:
    return next((stream for stream in streams if stream.codec_context is not None), None)


def no_picture(container: InputContainer, what: str) -> Fault:
    """Why a container without `tracks` is of no use. what: a word for it."""
    videos: tuple[Any, ...] = container.streams.video
    if videos and _decodable(videos) is None:
        return Fault("codec_not_supported", f"the video codec of the {what} cannot be decoded here")
    return Fault("source_invalid", f"the {what} has no picture")


def packets(
    raws: Iterable[Raw], stream: str, session: int, origin_us: int, first_us: int | None = None
) -> Iterator[tuple[Raw, Packet]]:
    """Each packet with its stamps less `origin_us`. Raises as the container does.

    first_us: stamp of a track's first packet where the container gives none.
    """
    bases: dict[int, Fraction | None] = {}
    for raw in raws:
        if raw.size == 0:
            continue
        context = raw.stream.codec_context
        first = raw.stream.index not in bases
        # Each look at a packet's makes a new fraction.
        if first:
            bases[raw.stream.index] = raw.time_base
        base = bases[raw.stream.index]
        yield (
            raw,
            Packet(
                stream=stream,
                session=session,
                track=raw.stream.index,
                codec=context.name,
                data=bytes(raw),
                pts_us=first_us if first and raw.pts is None else _since(raw.pts, base, origin_us),
                arrival_us=time.monotonic_ns() // 1000,
                arrival_wall_us=time.time_ns() // 1000,
                keyframe=raw.is_keyframe,
                rate=getattr(context, "sample_rate", 0) or 0,
                channels=getattr(context, "channels", 0) or 0,
                extradata=bytes(context.extradata or b"") if first else b"",
                dts_us=_since(raw.dts, base, origin_us),
                video=_parameters(context) if first and raw.stream.type == "video" else None,
                corrupt=raw.is_corrupt,
            ),
        )


def microseconds(ticks: int, time_base: Fraction | None) -> int:
    """A stamp of a container in microseconds; 0 where it does not say what its ticks are."""
    if time_base is None:
        return 0
    # In whole numbers: a camera gives two stamps for each of a thousand packets a second.
    return (2 * ticks * time_base.numerator * 1_000_000 + time_base.denominator) // (2 * time_base.denominator)


def _since(ticks: int | None, base: Fraction | None, origin_us: int) -> int | None:
    if ticks is None or base is None:
        return None
    return microseconds(ticks, base) - origin_us


def _parameters(context: Any) -> VideoParameters:
    """What the container says of a video, for decoders that do not find it in the packets."""
    try:
        tag = context.codec_tag
    except UnicodeDecodeError:
        tag = ""
    return VideoParameters(context.width, context.height, context.pix_fmt, tag, context.bits_per_coded_sample)
