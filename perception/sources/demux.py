"""Packets out of an open container, as the stage takes them: shared by files and cameras."""

import time
from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer

from perception.messages import Packet


def tracks(container: InputContainer) -> list[Any]:
    """The first video and the first audio stream."""
    return [*container.streams.video[:1], *container.streams.audio[:1]]


def packets(
    container: InputContainer, stream: str, session: int, origin_us: int, first_us: int | None = None
) -> Iterator[Packet]:
    """Each packet with its stamp less `origin_us`. Raises av.error.FFmpegError as the container does.

    first_us: stamp of a track's first packet where the container gives none.
    """
    told: set[int] = set()
    for packet in container.demux(tracks(container)):
        if packet.size == 0:
            continue
        context = packet.stream.codec_context
        first = packet.stream.index not in told
        told.add(packet.stream.index)
        yield Packet(
            stream=stream,
            session=session,
            track=packet.stream.index,
            codec=context.name,
            data=bytes(packet),
            pts_us=first_us if first and packet.pts is None else stamp_us(packet, origin_us),
            arrival_us=time.monotonic_ns() // 1000,
            arrival_wall_us=time.time_ns() // 1000,
            keyframe=packet.is_keyframe,
            rate=getattr(context, "sample_rate", 0) or 0,
            channels=getattr(context, "channels", 0) or 0,
            extradata=bytes(context.extradata or b"") if first else b"",
        )


def stamp_us(packet: "av.Packet[Any]", origin_us: int) -> int | None:
    """Presentation time in microseconds, counted from `origin_us`."""
    if packet.pts is None or packet.time_base is None:
        return None
    return round(packet.pts * packet.time_base * 1_000_000) - origin_us
