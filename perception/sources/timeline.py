"""A file's stamps: made one line that goes forward, waited for, and held against what the header promised."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import msgspec
from av.container import InputContainer

from perception.messages import Packet
from perception.sources.demux import Raw, microseconds

_BACK_US: Final = 1_000_000
"""Stamps of a track that go back by more than this are another recording's, joined to the one before."""
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
            shift_us = self._shift(track, at_us, expected_us)
            dts_us = at_us + shift_us
        self._next_us[track] = dts_us + period_us
        pts_us = None if packet.pts_us is None else packet.pts_us + shift_us
        return msgspec.structs.replace(packet, pts_us=pts_us, dts_us=dts_us)

    def _shift(self, track: int, at_us: int, expected_us: int | None) -> int:
        join = self._joins.get(track, 0)
        if expected_us is not None and at_us + self._shifts[join] < expected_us - _BACK_US:
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


class Ends:
    """How far each track of a file was read, on the file's own clock."""

    def __init__(self, container: InputContainer, chosen: list[Any], seen_us: int) -> None:
        """seen_us: up to where it was read before."""
        self._container, self._chosen, self._seen_us = container, chosen, seen_us
        self._ends_us: dict[int, int] = {}

    def watch(self) -> Iterator[Raw]:
        """The packets of the chosen tracks; those of others pass by, since the file's length is that of its longest."""
        wanted = {stream.index for stream in self._chosen}
        for raw in self._container.demux():
            index, at = raw.stream.index, raw.pts if raw.pts is not None else raw.dts
            if at is not None:
                end_us = microseconds(at, raw.time_base) + period_us(raw)
                self._ends_us[index] = max(end_us, self._ends_us.get(index, end_us))
            if index in wanted:
                yield raw

    @property
    def short(self) -> bool:
        """Whether a chosen track ends before its header says; where only the file has a length, whether all do."""
        lengths = {one.index: _own_end_us(one) for one in self._chosen}
        own = {index: end_us for index, end_us in lengths.items() if end_us is not None}
        tolerance_us = max(_SHORT_US, 2 * frame_us(self._chosen[0]))
        if own:
            return any(self._ends_us.get(n, self._seen_us) < end_us - tolerance_us for n, end_us in own.items())
        if self._container.duration is None:
            return False
        end_us = (self._container.start_time or 0) + self._container.duration
        return max(self._ends_us.values(), default=self._seen_us) < end_us - tolerance_us


def _own_end_us(stream: Any) -> int | None:
    if not stream.duration or stream.duration < 0:
        return None
    return microseconds((stream.start_time or 0) + stream.duration, stream.time_base)


def period_us(raw: Raw) -> int:
    """How long a packet lasts, as far as the container knows."""
    return microseconds(raw.duration, raw.time_base) if raw.duration else frame_us(raw.stream)


def frame_us(stream: Any) -> int:
    """How long a frame of a track lasts on average."""
    if stream.type != "video":
        return 0
    return round(1_000_000 / (stream.average_rate or stream.guessed_rate or Fraction(_USUAL_RATE)))


def _now_us() -> int:
    return time.monotonic_ns() // 1000
