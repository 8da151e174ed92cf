"""What a camera may do with a film: let its stamps jump, spoil its bytes, change its picture. Each is a programme."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from evaluation.rtp import VIDEO_CLOCK, Film, Piece
from evaluation.rtsp_camera import Programme


def jumping(film: Film, jumps: Sequence[tuple[float, int]], first_ticks: int = 0) -> Programme:
    """From each moment (seconds after PLAY) on, all stamps are moved by so many ticks. first_ticks: of the first."""

    def programme() -> Iterator[Piece]:
        for piece in film.endless():
            moved = sum(ticks for at_s, ticks in jumps if piece.at_s >= at_s)
            yield replace(piece, ticks=piece.ticks + first_ticks + moved)

    return programme


def hours(count: float) -> int:
    """In ticks of a video's clock."""
    return round(count * 3600 * VIDEO_CLOCK)


class Spoiled:
    """A film of whose payloads this share of the bytes is another one than was sent, until it is mended."""

    def __init__(self, film: Film, share: float, seed: int = 0) -> None:
        self._film, self._share, self._dice = film, share, random.Random(seed)
        self._clean = threading.Event()
        self.pictures, self.whole_from = 0, 0
        """How many were sent; and the number of the first one that nothing spoiled belongs to: a keyframe that came
        whole, 0 before."""

    def mend(self) -> None:
        self._clean.set()

    def __call__(self) -> Iterator[Piece]:
        for piece in self._film.endless():
            clean = self._clean.is_set()
            self.pictures += piece.track == 0
            if clean and piece.keyframe and not self.whole_from:
                self.whole_from = self.pictures
            yield piece if clean else replace(piece, payloads=tuple(map(self._spoil, piece.payloads)))

    def _spoil(self, payload: bytes) -> bytes:
        data = bytearray(payload)
        for place in range(len(data)):
            if self._dice.random() < self._share:
                data[place] ^= self._dice.randrange(1, 256)
        return bytes(data)


def switching(films: Sequence[Film], every_s: float) -> Programme:
    """One film after the other on one connection, each for some seconds from its beginning, over and over. Nothing but
    the parameter sets among the pictures tells of it."""

    def programme() -> Iterator[Piece]:
        base_s, turn = 0.0, 0
        while True:
            for piece in films[turn % len(films)].pieces_from(base_s):
                if piece.at_s - base_s < every_s:
                    yield piece
            base_s, turn = base_s + every_s, turn + 1

    return programme


class Counted:
    """A programme, with how much of it has been sent to whoever watches."""

    def __init__(self, programme: Programme) -> None:
        self._programme, self.sent = programme, 0

    def __call__(self) -> Iterator[Piece]:
        for piece in self._programme():
            yield piece
            self.sent += 1


def freezing(moving: Film, still: Film, frozen: Callable[[], bool]) -> Programme:
    """The one or the other film, from the next keyframe on; both with the same parameter sets."""

    def programme() -> Iterator[Piece]:
        base_s = 0.0
        while True:
            film = still if frozen() else moving
            for piece in film.pieces_from(base_s):
                if piece.keyframe and piece.at_s > base_s and (film is still) != frozen():
                    base_s = piece.at_s
                    break
                yield piece
            else:
                base_s += film.length_s + 0.1

    return programme
