"""Old neighbours become one event, the coarser the older: what a full budget takes before it deletes anything."""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
import numpy as np

from memory.caption_messages import LONGEST_CAPTION
from memory.keyframes import NUMBER_BITS
from memory.reading import Reader
from memory.rows import EventRow, Keyframe, from_half, is_whole, to_half, unit
from memory.writing import delete_rows, drop_frames, put_event, set_size

COARSEST: Final = 1 / 8
"""An event may last for so much of its age at most: of an hour ago seven minutes, of a day ago three hours."""
_JOINT_US: Final = 2_000_000
"""Events further apart than this are no neighbours: what was not seen between them stays told."""


class Span(NamedTuple):
    """What choosing needs of an event."""

    seq: int
    start_us: int
    end_us: int


@dataclass(frozen=True)
class Merged:
    """An event that took in the one behind it, numbered `gone`. row: as it is now, its frames with their vectors."""

    row: EventRow
    gone: int


def choose(events: Sequence[Span], newest_us: int, most: int) -> list[tuple[int, int]]:
    """Up to so many pairs of neighbours that are to be one event each: first those that lose least for their age."""
    rated = [
        ((two.end_us - one.start_us) / max(1, newest_us - two.end_us), one.seq, two.seq)
        for one, two in pairwise(events)
        if two.start_us - one.end_us <= _JOINT_US
    ]
    chosen: list[tuple[int, int]] = []
    taken: set[int] = set()
    for loss, one, two in nsmallest(3 * most, rated):
        if loss > COARSEST or len(chosen) == most:
            break
        if one not in taken and two not in taken:
            taken |= {one, two}
            chosen.append((one, two))
    return chosen


def merge(db: sqlite3.Connection, newest_us: int, most: int, keyframes: int) -> list[Merged]:
    """Merge up to so many pairs, each keeping the frames that tell most. For the writer thread, in a transaction."""
    rows = db.execute("SELECT seq, start_us, end_us FROM events WHERE NOT open ORDER BY seq").fetchall()
    made = (_merge_pair(db, *pair, keyframes) for pair in choose([Span(*row) for row in rows], newest_us, most))
    return [one for one in made if one is not None]


def _merge_pair(db: sqlite3.Connection, first: int, second: int, keyframes: int) -> Merged | None:
    """None where one of the two is damaged: it stays as it is."""
    known = Reader(db).by_seq([first, second])
    if len(known) < 2:
        return None
    one, two = known[first], known[second]
    row = msgspec.structs.replace(
        one,
        end_us=max(one.end_us, two.end_us),
        observed_us=max(one.observed_us, two.observed_us),
        frames=_kept_of(_with_vectors(db, one), _with_vectors(db, two), keyframes),
        speech=tuple(sorted((*one.speech, *two.speech), key=lambda said: said.start_us)),
        vector=_mean(db, one, two),
        caption=_captions(one.caption, two.caption),
        merged=one.merged + two.merged,
    )
    put_event(db, row)
    drop_frames(db, second)
    delete_rows(db, [second])
    set_size(db, row)
    return Merged(row, second)


def _captions(one: str | None, two: str | None) -> str | None:
    """Both, a sentence that stands in both once."""
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(text for text in (one, two) if text))
    return " ".join(dict.fromkeys(sentences))[:LONGEST_CAPTION] or None


def _with_vectors(db: sqlite3.Connection, row: EventRow) -> list[Keyframe]:
    found = []
    for frame in row.frames:
        stored = db.execute("SELECT crc, vector FROM vectors WHERE picture = ?", (frame.picture,)).fetchone()
        if stored is not None and is_whole(frame.picture, stored[1], stored[0]):
            found.append(msgspec.structs.replace(frame, vector=stored[1]))
    return found


def _kept_of(one: Sequence[Keyframe], two: Sequence[Keyframe], most: int) -> tuple[Keyframe, ...]:
    """Frames of both, in time order, at most so many: the ends, and what tells most between them.

    A frame's number stands for one picture for ever: those of the second event get numbers behind all of the first, and
    the highest number always stays, so that none is given twice. What was kept aside goes.
    """
    highest = max((frame.n for frame in one), default=-1)
    telling = [frame for frame in two if not frame.is_aside] or two[-1:]
    renamed = [msgspec.structs.replace(frame, n=highest + 1 + k) for k, frame in enumerate(telling)]
    frames = sorted([*one, *renamed], key=lambda frame: (frame.media_us, frame.n))
    last = max(frames, key=lambda frame: frame.n, default=None)
    kept: list[Keyframe] = []
    for frame in frames:
        if all(frame.picture != other.picture for other in kept) and (not frame.is_aside or frame is last):
            kept.append(frame)
    while len(kept) > max(1, most) and (loose := _least_telling(kept, max(frame.n for frame in kept))) is not None:
        kept.pop(loose)
    return tuple(kept) if not kept or kept[-1].n < 1 << NUMBER_BITS else tuple(one)


def _least_telling(frames: Sequence[Keyframe], highest: int) -> int | None:
    """The frame, neither the first nor the highest numbered, that another one says best; None where there is none."""
    free = [n for n in range(1, len(frames)) if frames[n].n != highest] or (
        [0] if len(frames) > 1 and frames[0].n != highest else []
    )
    if not free:
        return None
    sizes = {len(frame.vector) for frame in frames}
    if len(sizes) > 1 or 0 in sizes:
        return free[len(free) // 2]
    vectors = np.stack([from_half(frame.vector) for frame in frames])
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    return max(free, key=lambda n: (float(likeness[n].max()), n))


def _mean(db: sqlite3.Connection, one: EventRow, two: EventRow) -> bytes:
    """The mean of both events' frames; none where one of them has none or another encoder's."""
    blobs: list[bytes] = [
        stored[0]
        for row in (one, two)
        if (stored := db.execute("SELECT vector FROM event_vectors WHERE event = ?", (row.seq,)).fetchone()) is not None
    ]
    if len(blobs) < 2 or len(blobs[0]) != len(blobs[1]):
        return b""
    vectors = [from_half(blob) for blob in blobs]
    return to_half(unit(vectors[0] * np.float32(one.merged) + vectors[1] * np.float32(two.merged)))
