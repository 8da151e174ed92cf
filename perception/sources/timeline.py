"""A file's stamps: made one line that goes forward, waited for, and held against what the header promised."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import msgspec
from av.container import InputContainer

from perception.messages import Packet
from perception.sources.demux import Raw, microseconds

_BACK_US: Final = 1_000_000
_BACK_FRAMES: Final = 16
"""Stamps of a track that go back by more than both are another recording's, joined to the one before: less is the
order in which frames are decoded."""
_SHORT_US: Final = 2_000_000
"""A file that ends this much before its own header says is cut off."""
_LONGEST_WAIT_US: Final = 10_000_000
"""A longer hole in a file is not waited for."""
_USUAL_RATE: Final = 25


class Timeline:
    """Gives each packet a stamp: where a file has none they are counted, where it starts over they go on.

    Tracks change over to a joined recording one after the other, by the same shift.
    """

    def __init__(self) -> None:
        self._shifts = [0]
        self._joins: dict[int, int] = {}
        self._next_us: dict[int, int] = {}

    def place(self, packet: Packet, period_us: int) -> Packet:
        """The packet on the line. period_us: how long it lasts."""
        track, expected_us = packet.track, self._next_us.get(packet.track)
        at_us = packet.dts_us if packet.dts_us is not None else packet.pts_us
        if at_us is None:
            dts_us, shift_us = expected_us or 0, 0
        else:
            earliest_us = None if expected_us is None else expected_us - max(_BACK_US, _BACK_FRAMES * period_us)
            shift_us = self._shift(track, at_us, earliest_us)
            dts_us = at_us + shift_us
        self._next_us[track] = dts_us + period_us
        pts_us = None if packet.pts_us is None else packet.pts_us + shift_us
        return msgspec.structs.replace(packet, pts_us=pts_us, dts_us=dts_us)

    def _shift(self, track: int, at_us: int, earliest_us: int | None) -> int:
        join = self._joins.get(track, 0)
        if earliest_us is not None and at_us + self._shifts[join] < earliest_us:
            join = self._joins[track] = join + 1
            if join == len(self._shifts):
                self._shifts.append(max(self._next_us.values()) - at_us)
        return self._shifts[join]


class Pace:
    """Lets packets through when their time has come."""

    def __init__(self, from_us: int) -> None:
        """from_us: what is stamped so is due now."""
        self._started_us = _now_us() - from_us

    def wait(self, at_us: int, stop: threading.Event) -> bool:
        """Block until a stamp is due. False: `stop` was set meanwhile."""
        ahead_us = self._started_us + at_us - _now_us()
        if ahead_us > _LONGEST_WAIT_US:
            self._started_us -= ahead_us - _LONGEST_WAIT_US
            ahead_us = _LONGEST_WAIT_US
        return ahead_us <= 0 or not stop.wait(ahead_us / 1e6)


@dataclass
class _Reach:
    """How far a track was read. gap_us: between its newest two stamps."""

    newest_us: int
    end_us: int
    gap_us: int = 0

    def read(self, at_us: int, lasts_us: int) -> None:
        if at_us > self.newest_us:
            self.gap_us, self.newest_us = at_us - self.newest_us, at_us
        self.end_us = max(self.end_us, at_us + (lasts_us or self.gap_us))


class Ends:
    """Where the tracks of a file ended, held against where its header says they do; on the file's own clock."""

    def __init__(self, container: InputContainer, chosen: list[Any], seen_us: int) -> None:
        """seen_us: up to where it was read before."""
        self._container, self._chosen, self._seen_us = container, chosen, seen_us
        self._reached: dict[int, _Reach] = {}

    def watch(self) -> Iterator[Raw]:
        """The packets of the chosen tracks; those of others pass by, since the file's length is that of its longest."""
        wanted = {stream.index for stream in self._chosen}
        for raw in self._container.demux():
            index, at = raw.stream.index, raw.pts if raw.pts is not None else raw.dts
            if at is not None:
                at_us = microseconds(at, raw.time_base)
                reached = self._reached.setdefault(index, _Reach(at_us, at_us))
                reached.read(at_us, microseconds(raw.duration or 0, raw.time_base))
            if index in wanted:
                yield raw

    @property
    def short(self) -> bool:
        """Whether a chosen track ends before its header says; where only the file has a length, whether all do."""
        ends_us = {one.index: _own_end_us(one) for one in self._chosen}
        if any(end_us is not None for end_us in ends_us.values()):
            return any(end_us is not None and self._is_short(self._of(n), end_us) for n, end_us in ends_us.items())
        if self._container.duration is None:
            return False
        farthest = max(self._reached.values(), key=lambda one: one.end_us, default=self._of(-1))
        return self._is_short(farthest, (self._container.start_time or 0) + self._container.duration)

    def _of(self, index: int) -> _Reach:
        return self._reached.get(index, _Reach(self._seen_us, self._seen_us))

    def _is_short(self, reached: _Reach, end_us: int) -> bool:
        return reached.end_us < end_us - max(_SHORT_US, 2 * reached.gap_us)


def _own_end_us(stream: Any) -> int | None:
    if not stream.duration or stream.duration < 0:
        return None
    return microseconds((stream.start_time or 0) + stream.duration, stream.time_base)


def period_us(raw: Raw) -> int:
    """How long a packet lasts, as far as the container knows."""
    if raw.duration:
        return microseconds(raw.duration, raw.time_base)
    if raw.stream.type != "video":
        return 0
    return round(1_000_000 / (raw.stream.average_rate or raw.stream.guessed_rate or Fraction(_USUAL_RATE)))


def _now_us() -> int:
    return time.monotonic_ns() // 1000
