"""Access units out of RTP: fragments as the camera sent them in, whole pictures with their stamp out.

FFmpeg's own parser would do it too, but it leaves the first picture of a session without a stamp, and where pictures
are sent in another order than they are shown (B-frames) nothing else tells it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from perception.decode import unit_kinds
from perception.messages import Packet

_BEGINNINGS: Final = {"h264": {5, 7}, "hevc": {16, 17, 18, 19, 20, 21, 33}}
"""NAL units with which decoding can begin: IDR or IRAP pictures, parameter sets."""
ASSEMBLED: Final = frozenset(_BEGINNINGS)
"""Codecs that FFmpeg hands on as RTP cuts them: whole units, and pieces of units that begin with no start code."""
_START_CODES: Final = (b"\x00\x00\x01", b"\x00\x00\x00\x01")
_ROUNDING_US: Final = 1_000
"""The stamps of one picture differ by less: they are computed anew with each sender report."""
_MOST_BYTES: Final = 16 * 1024 * 1024
"""A camera whose stamps stand still does not fill the memory."""


def access_units(fragments: Iterable[Packet], video: int) -> Iterator[Packet]:
    """The fragments of track `video` joined to pictures, each handed on when the next begins; other tracks as they are.

    What carries one stamp is one picture (RFC 6184, 5.1; RFC 7798, 4.1). Raises as the fragments do; the picture that
    was under way then is lost.
    """
    held: list[Packet] = []
    size = 0
    for fragment in fragments:
        if fragment.track != video:
            yield fragment
            continue
        if held and _begins(fragment, held[0], size):
            yield _joined(held)
            held, size = [], 0
        held.append(fragment)
        size += len(fragment.data)
    if held:
        yield _joined(held)


def _begins(fragment: Packet, first: Packet, size: int) -> bool:
    """Whether another picture begins with this fragment."""
    if not fragment.data.startswith(_START_CODES):
        return size > _MOST_BYTES
    if fragment.pts_us is None or first.pts_us is None:
        return fragment.pts_us is not first.pts_us or size > _MOST_BYTES
    return abs(fragment.pts_us - first.pts_us) > _ROUNDING_US or size > _MOST_BYTES


def _joined(fragments: list[Packet]) -> Packet:
    """One picture; it has arrived when its last fragment has."""
    data = b"".join(fragment.data for fragment in fragments)
    first, last = fragments[0], fragments[-1]
    return msgspec.structs.replace(
        first,
        data=data,
        keyframe=any(kind in _BEGINNINGS[first.codec] for kind in unit_kinds(data, first.codec)),
        corrupt=any(fragment.corrupt for fragment in fragments),
        arrival_us=last.arrival_us,
        arrival_wall_us=last.arrival_wall_us,
    )
