"""A stream's media clock: presentation times of a source's own clock in, media time that never goes back out."""

from typing import Final, Literal

ClockKind = Literal["file", "live", "fast"]

RESYNC_US: Final = 5_000_000
"""A live stream whose stamps and arrivals part by more than this is anchored anew."""
_FAR_US: Final = 24 * 3600 * 1_000_000
"""A fast sender's stamps that go further ahead at once are broken."""
_PAUSE_US: Final = 1_000_000
"""Sound without stamps that arrives this much earlier or later than its samples say has been interrupted."""
_FRAME_US: Final = 40_000
"""How long a file's frame lasts that has no stamp."""


class MediaClock:
    """Maps presentation times to media time, one session (connection) after the other.

    file: media time is the file's own time; its reader stamps from the beginning. live: the first packet of a session
    is anchored at its arrival, later ones follow their stamps, unless these jump, wrap or go back by more than
    RESYNC_US against the arrivals. fast: a session's first packet comes right after what there is already. What has no
    stamp is placed by its arrival. Arrivals are monotonic: the wall clock, which may step, is looked at once.
    """

    def __init__(self, kind: ClockKind, start_wall_us: int, resume_us: int) -> None:
        self._kind = kind
        self._start_wall_us = start_wall_us
        self._last_us = resume_us if resume_us > 0 else -1
        self._heard_us = -1
        """The end of the newest sound."""
        self._offset_us: int | None = None
        self._sound_offset_us: int | None = None
        """As pictures have it until sound has jumped by itself."""
        self._zero_us: int | None = None
        """Media time of arrival 0."""

    @property
    def last_us(self) -> int:
        """The newest media time that was given out; before the first, that of the newest frame known, or -1."""
        return self._last_us

    def begin_session(self, arrival_us: int, arrival_wall_us: int) -> None:
        """What follows is stamped by another clock."""
        newest_us = max(self._last_us, self._heard_us)
        if self._kind == "fast":
            self._zero_us = None
        elif self._zero_us is None:
            self._zero_us = max(arrival_wall_us - self._start_wall_us, newest_us + 1) - arrival_us
        self._offset_us = self._sound_offset_us = None

    def media_us(self, pts_us: int | None, arrival_us: int) -> int:
        """Media time of a frame with this stamp (None: it has none).

        Strictly later than the last one given out: two frames never share a time.
        """
        if pts_us is not None:
            media = self._from_stamp(pts_us, arrival_us)
        elif self._kind == "file":
            media = self._last_us + _FRAME_US
        else:
            media = self._from_arrival(arrival_us)
        self._last_us = max(media, self._last_us + 1)
        if self._kind == "fast":
            # What has no stamp goes on from here as time goes by.
            self._zero_us = self._last_us - arrival_us
        return self._last_us

    def sound_us(self, pts_us: int | None, duration_us: int, arrival_us: int) -> int:
        """Media time at which sound of this stamp begins, which may lie before the newest frame; never below 0."""
        if pts_us is None:
            start = self._unstamped_sound(duration_us, arrival_us)
        else:
            start = self._stamped_sound(pts_us, duration_us, arrival_us)
        start = max(0, start)
        self._heard_us = start + duration_us
        return start

    # ------------------------------------------------------------ stamps

    def _from_stamp(self, pts_us: int, arrival_us: int) -> int:
        media = pts_us + self._anchored(pts_us, arrival_us)
        if self._kind == "live" and abs(media - self._from_arrival(arrival_us)) > RESYNC_US:
            return self._resync(pts_us, self._from_arrival(arrival_us))
        if self._kind == "fast" and not -RESYNC_US <= media - self._last_us <= _FAR_US:
            return self._resync(pts_us, self._last_us + 1)
        return media

    def _resync(self, pts_us: int, media_us: int) -> int:
        media_us = max(media_us, self._last_us + 1)
        self._offset_us = media_us - pts_us
        return media_us

    def _anchored(self, pts_us: int, arrival_us: int) -> int:
        """The offset of pictures' stamps, set by the session's first packet."""
        if self._offset_us is None:
            first_us = max(self._from_arrival(arrival_us), max(self._last_us, self._heard_us) + 1)
            self._offset_us = 0 if self._kind == "file" else first_us - pts_us
        return self._offset_us

    def _stamped_sound(self, pts_us: int, duration_us: int, arrival_us: int) -> int:
        if self._kind == "file":
            return pts_us
        if self._sound_offset_us is None:
            self._sound_offset_us = self._anchored(pts_us, arrival_us)
        start = pts_us + self._sound_offset_us
        if self._kind == "live":
            expected = self._from_arrival(arrival_us) - duration_us
            jumped = abs(start - expected) > RESYNC_US
        else:
            expected = max(self._last_us, self._heard_us) + 1
            before = self._heard_us if self._heard_us >= 0 else self._last_us
            jumped = not -RESYNC_US <= start - before <= _FAR_US
        if jumped:
            self._sound_offset_us = expected - pts_us
            return expected
        return start

    # ------------------------------------------------------------ arrivals

    def _from_arrival(self, arrival_us: int) -> int:
        if self._zero_us is None:
            self._zero_us = max(self._last_us, self._heard_us) + 1 - arrival_us
        return max(0, arrival_us + self._zero_us)

    def _unstamped_sound(self, duration_us: int, arrival_us: int) -> int:
        """Where it arrived, less what it lasts; while it flows, its samples count, for packets come in bursts."""
        if self._kind == "file":
            return self._heard_us
        arrived_us = self._from_arrival(arrival_us) - duration_us
        flows = self._heard_us >= 0 and abs(arrived_us - self._heard_us) <= _PAUSE_US
        return self._heard_us if flows else arrived_us
