"""The decoders of one session's tracks: a packet in, the decoder it needs out, made anew where a track changes."""

from collections.abc import Iterator
from dataclasses import dataclass

from perception.decode import Picture, PictureDecoder, SoundDecoder, VideoDecoder, is_picture, is_sound
from perception.messages import Packet

Seeing = VideoDecoder | PictureDecoder
Decoder = Seeing | SoundDecoder


@dataclass
class _Track:
    """What a track carries now; decoder None: its packets are passed over."""

    codec: str
    rate: int
    channels: int
    decoder: Decoder | None = None

    def carries(self, packet: Packet) -> bool:
        """Whether the packet is more of the same; a rate or number of channels of 0 is not known."""
        return packet.codec == self.codec and _agree(packet.rate, self.rate) and _agree(packet.channels, self.channels)


def _agree(one: int, other: int) -> bool:
    return one == other or 0 in (one, other)


def pictures(decoder: Seeing, packet: Packet, *, alone: bool) -> Iterator[Picture]:
    """What a packet shows. alone: it is a keyframe, and what follows it is left out. Raises as the decoder does."""
    if alone and isinstance(decoder, VideoDecoder):
        return decoder.decode_alone(packet)
    return decoder.decode(packet)


class Tracks:
    """One session's decoders by the number of their track."""

    def __init__(self, max_pixels: int, hears: bool) -> None:
        """hears: whether sound is decoded at all."""
        self._max_pixels, self._hears = max_pixels, hears
        self._tracks: dict[int, _Track] = {}

    def is_known(self, packet: Packet) -> bool:
        """Whether the packet goes on with what its track has carried so far."""
        track = self._tracks.get(packet.track)
        return track is not None and track.carries(packet)

    def open(self, packet: Packet) -> Decoder | None:
        """A decoder for what the packet begins. Raises Undecodable; what follows of the kind is passed over then."""
        track = self._tracks[packet.track] = _Track(packet.codec, packet.rate, packet.channels)
        track.decoder = self._make(packet)
        return track.decoder

    def decoder(self, number: int) -> Decoder | None:
        """The track's decoder; None where there is none, or its packets are passed over."""
        track = self._tracks.get(number)
        return None if track is None else track.decoder

    def close(self) -> list[Decoder]:
        """Begin afresh; the decoders that there were."""
        tracks, self._tracks = self._tracks, {}
        return [track.decoder for track in tracks.values() if track.decoder is not None]

    def _make(self, packet: Packet) -> Decoder | None:
        if is_picture(packet.codec):
            return PictureDecoder(packet.codec, self._max_pixels)
        if is_sound(packet.codec):
            return SoundDecoder(packet) if self._hears else None
        return VideoDecoder(packet.codec, packet.extradata, self._max_pixels, packet.video)
