"""A stream's media clock: presentation times of a source's own clock in, media time that never goes back out."""

from typing import Final, Literal

ClockKind = Literal["file", "live", "fast"]

RESYNC_US: Final = 5_000_000
"""A live stream whose stamps and arrivals part by more than this is anchored anew."""


class MediaClock:
    """Maps presentation times to media time, one session (connection) after the other.

    file: media time is the file's own time; its reader stamps from the beginning. live: the first packet of a session
    is anchored at its arrival, later ones follow their stamps, unless these jump, wrap or go back by more than
    RESYNC_US against the arrivals. fast: a session's first packet comes right after what there is already.
    """

    def __init__(self, kind: ClockKind, start_wall_us: int, resume_us: int) -> None:
        self._kind = kind
        self._start_wall_us = start_wall_us
        self._last_us = resume_us if resume_us > 0 else -1
        self._offset_us: int | None = None

    @property
    def last_us(self) -> int:
        """The newest media time that was given out; before the first, that of the newest frame known, or -1."""
        return self._last_us

    def begin_session(self) -> None:
        """What follows is stamped by another clock."""
        self._offset_us = None

    def media_us(self, pts_us: int | None, arrival_wall_us: int) -> int:
        """Media time of a frame with this stamp (None: it has none) that arrived at this wall time.

        Strictly later than the last one given out: two frames never share a time.
        """
        media = self._from_arrival(arrival_wall_us) if pts_us is None else self._from_stamp(pts_us, arrival_wall_us)
        self._last_us = max(media, self._last_us + 1)
        return self._last_us

    def peek_us(self, pts_us: int, arrival_wall_us: int) -> int:
        """Media time of another track's stamp (sound), which may lie before the newest frame; never below 0."""
        if self._offset_us is None:
            self._offset_us = 0 if self._kind == "file" else self._anchor(arrival_wall_us) - pts_us
        return max(0, pts_us + self._offset_us)

    def _from_stamp(self, pts_us: int, arrival_wall_us: int) -> int:
        if self._offset_us is None:
            self._offset_us = 0 if self._kind == "file" else self._anchor(arrival_wall_us) - pts_us
        media = pts_us + self._offset_us
        if self._kind == "live" and abs(media - self._from_arrival(arrival_wall_us)) > RESYNC_US:
            return self._resync(pts_us, self._from_arrival(arrival_wall_us))
        if self._kind == "fast" and not -RESYNC_US <= media - self._last_us <= 24 * 3600 * 1_000_000:
            return self._resync(pts_us, self._last_us + 1)
        return media

    def _resync(self, pts_us: int, media_us: int) -> int:
        media_us = max(media_us, self._last_us + 1)
        self._offset_us = media_us - pts_us
        return media_us

    def _from_arrival(self, arrival_wall_us: int) -> int:
        return max(0, arrival_wall_us - self._start_wall_us) if self._kind == "live" else self._last_us + 1

    def _anchor(self, arrival_wall_us: int) -> int:
        """Media time of a session's first packet."""
        return max(self._from_arrival(arrival_wall_us), self._last_us + 1)
