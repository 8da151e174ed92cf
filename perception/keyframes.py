"""Where a video can be entered, and whether that is often enough to do with keyframes: packets, their arrivals in."""

from typing import Final

import msgspec

from perception.decode import is_keyframe, is_picture, is_video
from perception.messages import Packet

CLOSE_US: Final = 2_200_000
"""Keyframes that lie further apart show too little of what happens."""


class KeyframeMeter:
    """Of one live video, on the clock of arrivals."""

    def __init__(self) -> None:
        self._newest_us: int | None = None
        self._apart_us: int | None = None

    def saw(self, arrival_us: int) -> None:
        """A keyframe came."""
        if self._newest_us is not None:
            self._apart_us = arrival_us - self._newest_us
        self._newest_us = arrival_us

    def close(self, arrival_us: int) -> bool:
        """Whether the newest two came soon after one another, and the next one is not overdue."""
        if self._newest_us is None or self._apart_us is None:
            return False
        return self._apart_us <= CLOSE_US and arrival_us - self._newest_us <= CLOSE_US


def marked(packet: Packet) -> Packet:
    """A pushed unit with whether decoding can begin with it: nobody says so of it, and it is looked through once."""
    begins = is_video(packet.codec) and is_keyframe(packet.codec, packet.data)
    return msgspec.structs.replace(packet, keyframe=True) if begins else packet


def is_start(packet: Packet) -> bool:
    """Whether decoding can begin with a packet that says so, or is an image."""
    return packet.keyframe or is_picture(packet.codec)
