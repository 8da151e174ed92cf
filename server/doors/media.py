"""Binary messages of the live websocket to media for perception: images as they are, or tracks led by nine bytes."""

import struct
from typing import get_args

from perception.messages import Codec
from server.doors.live_messages import MediaMessage
from server.errors import RequestError
from server.pictures import check_picture
from server.pushing import Media

_LEAD = struct.Struct(">Bq")
_CODECS = frozenset(get_args(Codec))
_IMAGES = frozenset({"jpeg", "png", "webp"})
_AUDIO = frozenset({"pcm_s16le", "opus"})
MAX_PTS_US = 2**60


class MediaReader:
    """Knows what each track of one connection carries."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._tracks: dict[int, MediaMessage] = {}

    def declare(self, message: MediaMessage) -> None:
        """A track is announced, or announced anew. Raises RequestError codec_not_supported, invalid_field."""
        if message.codec not in _CODECS:
            raise RequestError("codec_not_supported", f"send one of {', '.join(sorted(_CODECS))}", "codec")
        if message.codec == "pcm_s16le" and message.rate is None:
            raise RequestError("invalid_field", "rate: pcm_s16le needs one", "rate")
        self._tracks[message.track] = message

    def read(self, data: bytes) -> Media:
        """One binary message. Raises RequestError invalid_image, image_too_large, invalid_field."""
        if not self._tracks:
            return Media(0, check_picture(data, self._max_pixels), data, None)
        if len(data) <= _LEAD.size:
            raise RequestError("invalid_field", "a media message is nine bytes of track and time, then the data")
        track, pts_us = _LEAD.unpack_from(data)
        declared = self._tracks.get(track)
        if declared is None:
            raise RequestError("invalid_field", f"track: send a media message for track {track} first", "track")
        if not -1 <= pts_us <= MAX_PTS_US:
            raise RequestError("invalid_field", "time: microseconds >= 0, or -1 for the time of arrival", "time")
        payload = data[_LEAD.size :]
        if declared.codec in _IMAGES and check_picture(payload, self._max_pixels) != declared.codec:
            raise RequestError("invalid_image", f"track {track} was announced as {declared.codec}")
        rate, channels = declared.rate or 0, declared.channels or 0
        if declared.codec in _AUDIO:
            rate, channels = rate or 48_000, channels or 1
        return Media(track, declared.codec, payload, None if pts_us < 0 else pts_us, rate, channels)
