"""A film as RTP: a file in; payloads that are made once, and packets that cost a header each time they are sent.

H.264 after RFC 6184, H.265 after RFC 7798, AAC after RFC 3640; headers and sender reports after RFC 3550.
"""

import base64
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.bitstream import BitStreamFilterContext

FIRST_PAYLOAD_TYPE: Final = 96
VIDEO_CLOCK: Final = 90_000
_PAYLOAD_BYTES: Final = 1400
_ANNEX_B: Final = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
_SET_KINDS: Final = {"h264": (7, 8), "hevc": (32, 33, 34)}
"""Types of the NAL units that hold parameter sets."""
FIRST_TICKS: Final = 12_345
"""What a stamp of 0 is on the wire: FFmpeg takes a 0 there for none."""
_LOOP_GAP_S: Final = 0.1
"""Between two rounds of a film."""
_UNIX_IN_NTP_S: Final = 2_208_988_800
"""From the epoch of NTP to that of Unix."""


@dataclass(frozen=True)
class Piece:
    """What is sent at one moment: a picture or some sound.

    at_s: when it is due. ticks: its stamp of presentation on the track's clock; may be any number, the wire takes the
    lower 32 bits. payloads: of its packets, in order.
    """

    track: int
    at_s: float
    ticks: int
    payloads: tuple[bytes, ...]
    keyframe: bool


@dataclass(frozen=True)
class FilmTrack:
    """A track as a session description names it. lines: from `m=` on, without the address for control."""

    kind: str
    clock: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Film:
    """All of a file. Pieces are in the order of decoding, on a clock that starts at 0 and ends at `length_s`."""

    tracks: tuple[FilmTrack, ...]
    pieces: tuple[Piece, ...]
    length_s: float

    def pieces_from(self, base_s: float) -> Iterator[Piece]:
        """Once through, `base_s` later."""
        shifts = [round(base_s * track.clock) for track in self.tracks]
        for piece in self.pieces:
            yield replace(piece, at_s=piece.at_s + base_s, ticks=piece.ticks + shifts[piece.track])

    def endless(self) -> Iterator[Piece]:
        """Round after round on one clock."""
        base_s = 0.0
        while True:
            yield from self.pieces_from(base_s)
            base_s += self.length_s + _LOOP_GAP_S

    @property
    def sdp(self) -> str:
        """The session description (RFC 8866)."""
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 127.0.0.1", "t=0 0"]
        for number, track in enumerate(self.tracks):
            lines += [*track.lines, f"a=control:trackID={number}"]
        return "\r\n".join(lines) + "\r\n"


def read_film(path: str) -> Film:
    """A file's first video and first audio track. Raises ValueError where it has no picture."""
    with av.open(path) as container:
        streams: list[Any] = [*container.streams.video[:1], *container.streams.audio[:1]]
        if not container.streams.video:
            raise ValueError("the file has no picture")
        packets = _annex_b(container, streams)
        first_s = min(float(packet.dts * packet.time_base) for _, packet in packets)
        pieces = [_piece(track, streams[track], packet, first_s) for track, packet in packets]
        ends = [float((packet.dts + (packet.duration or 0)) * packet.time_base) - first_s for _, packet in packets]
        tracks = [_describe(track, stream, packets) for track, stream in enumerate(streams)]
    return Film(tuple(tracks), tuple(sorted(pieces, key=lambda one: one.at_s)), max(ends))


def _annex_b(container: Any, streams: Sequence[Any]) -> list[tuple[int, Any]]:
    """The packets with the number of their track; video with start codes and its parameter sets at each keyframe."""
    name = streams[0].codec_context.name
    adapt = BitStreamFilterContext(_ANNEX_B[name], streams[0])
    numbers = {stream.index: number for number, stream in enumerate(streams)}
    found: list[tuple[int, Any]] = []
    for packet in container.demux(list(streams)):
        number, whole = numbers[packet.stream.index], packet if packet.size else None
        ready = adapt.filter(whole) if number == 0 else [packet] if whole is not None else []
        found += [(number, one) for one in ready if one.dts is not None and one.pts is not None]
    return found


def _piece(track: int, stream: Any, packet: Any, first_s: float) -> Piece:
    clock = VIDEO_CLOCK if stream.type == "video" else int(stream.codec_context.sample_rate)
    at_s, shown_s = (float(stamp * packet.time_base) - first_s for stamp in (packet.dts, packet.pts))
    if stream.type == "video":
        payloads = tuple(_video_payloads(bytes(packet), stream.codec_context.name))
    else:
        payloads = (_aac_payload(bytes(packet)),)
    return Piece(track, at_s, round(shown_s * clock), payloads, packet.is_keyframe)


# ---------------------------------------------------------------- payloads


def nal_units(data: bytes) -> list[bytes]:
    """The units of an access unit in Annex B, without their start codes."""
    starts, position = [], data.find(b"\x00\x00\x01")
    while position != -1:
        starts.append(position + 3)
        position = data.find(b"\x00\x00\x01", position + 3)
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    return [data[start:end].rstrip(b"\x00") for start, end in zip(starts, ends, strict=True)]


def nal_kind(unit: bytes, codec: str) -> int:
    """The type of a NAL unit. codec: FFmpeg's name."""
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def _video_payloads(data: bytes, codec: str) -> Iterator[bytes]:
    for unit in nal_units(data):
        if len(unit) <= _PAYLOAD_BYTES:
            yield unit
        else:
            yield from _fragments(unit, codec)


def _fragments(unit: bytes, codec: str) -> Iterator[bytes]:
    """A unit that fits in no packet: RFC 6184, 5.8; RFC 7798, 4.4.3."""
    kind, head = nal_kind(unit, codec), 1 if codec == "h264" else 2
    indicator = bytes([unit[0] & 0xE0 | 28]) if codec == "h264" else bytes([unit[0] & 0x81 | 49 << 1, unit[1]])
    body = unit[head:]
    for start in range(0, len(body), _PAYLOAD_BYTES):
        first, last = start == 0, start + _PAYLOAD_BYTES >= len(body)
        yield indicator + bytes([first << 7 | last << 6 | kind]) + body[start : start + _PAYLOAD_BYTES]


def _aac_payload(data: bytes) -> bytes:
    """One access unit behind one AU header of 13 bits of size and 3 of index (RFC 3640, 3.3.6)."""
    return struct.pack("!HH", 16, len(data) << 3) + data


# ---------------------------------------------------------------- descriptions


def _describe(track: int, stream: Any, packets: Sequence[tuple[int, Any]]) -> FilmTrack:
    number = FIRST_PAYLOAD_TYPE + track
    if stream.type == "audio":
        return _describe_sound(number, stream)
    codec = stream.codec_context.name
    key = next(bytes(packet) for owner, packet in packets if owner == track and packet.is_keyframe)
    sets = [unit for unit in nal_units(key) if nal_kind(unit, codec) in _SET_KINDS[codec]]
    coded = [base64.b64encode(one).decode() for one in sets]
    if codec == "h264":
        name, format_of = "H264", f"packetization-mode=1; sprop-parameter-sets={','.join(coded)}"
        format_of += f"; profile-level-id={sets[0][1:4].hex()}"
    else:
        names = ("sprop-vps", "sprop-sps", "sprop-pps")
        name, format_of = "H265", "; ".join(f"{one}={value}" for one, value in zip(names, coded, strict=True))
    lines = (f"m=video 0 RTP/AVP {number}", f"a=rtpmap:{number} {name}/{VIDEO_CLOCK}", f"a=fmtp:{number} {format_of}")
    return FilmTrack("video", VIDEO_CLOCK, lines)


def _describe_sound(number: int, stream: Any) -> FilmTrack:
    context = cast(AudioCodecContext, stream.codec_context)
    config = bytes(context.extradata or b"").hex()
    mode = "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3"
    lines = (
        f"m=audio 0 RTP/AVP {number}",
        f"a=rtpmap:{number} MPEG4-GENERIC/{context.sample_rate}/{context.channels}",
        f"a=fmtp:{number} {mode};config={config}",
    )
    return FilmTrack("audio", context.sample_rate, lines)


# ---------------------------------------------------------------- packets


class RtpSender:
    """Numbers and stamps one track's packets for one receiver."""

    def __init__(self, track: int, clock: int) -> None:
        self._type, self._clock = FIRST_PAYLOAD_TYPE + track, clock
        self._number, self._source = 0, 0x0C0FFEE0 + track
        self._packets = self._bytes = 0

    def packets(self, piece: Piece) -> Iterator[bytes]:
        """A piece on the wire; the last packet carries the marker."""
        ticks, last = piece.ticks + FIRST_TICKS & 0xFFFFFFFF, len(piece.payloads) - 1
        for n, payload in enumerate(piece.payloads):
            kind = self._type | 0x80 if n == last else self._type
            yield struct.pack("!BBHII", 0x80, kind, self._number, ticks, self._source) + payload
            self._number = self._number + 1 & 0xFFFF
            self._packets, self._bytes = self._packets + 1, self._bytes + len(payload)

    def report(self, ticks: int) -> bytes:
        """A sender report: `ticks` is now."""
        seconds = time.time() + _UNIX_IN_NTP_S
        whole, part = int(seconds), int(seconds % 1 * 2**32)
        counts = (self._packets & 0xFFFFFFFF, self._bytes & 0xFFFFFFFF)
        return struct.pack(
            "!BBHIIIIII", 0x80, 200, 6, self._source, whole, part, ticks + FIRST_TICKS & 0xFFFFFFFF, *counts
        )
