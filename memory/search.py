"""Candidates of a stream for a text or a picture: by vector, by words, by time; committed events and live ones."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from memory.index import centred
from memory.ranking import Candidate
from memory.rows import EventRow, Keyframe, Vector, from_half
from memory.spans import Span
from memory.stream import Stream
from perception.encoders import Image

_FRAMES: Final = 256
_WORDS: Final = 64
_MOST_PIXELS: Final = 33_177_600
_STOP_WORDS: Final = """
a an and are as at be been but by can could did do does for from had has have he her him his how
i if in is it its me my no not of on or our she so than that the their them then there these they this to up us was we
were what when where which who whom whose why will with would you your ever see seen saw say said show tell happen
happened"""
_STOP: Final = frozenset(_STOP_WORDS.split())


Frame = tuple[int, int]
"""Which keyframe of which event: (seq, n)."""


class PictureInvalid(Exception):
    """The bytes are no picture that is taken."""


@dataclass(frozen=True)
class Query:
    """What is looked for in a stream. span None: everywhere; [low, high): event numbers that hold the span.

    said: words count where they were said, not where a caption has them. stand_out: one of all frames is meant, which
    is told from the others by what few of them have.
    """

    vector: Vector | None
    words: Sequence[str]
    span: Span | None
    low: int
    high: int
    said: bool = False
    stand_out: bool = False


@dataclass(frozen=True)
class Likeness:
    """How like a frame is to what is asked for: by itself; and how it stands out, None where that was not asked."""

    vector: float
    salience: float | None


def query_for(
    stream: Stream,
    vector: Vector | None,
    words: Sequence[str],
    span: Span | None,
    *,
    said: bool = False,
    stand_out: bool = False,
) -> Query:
    """Narrow to the events of a span."""
    low, high = (0, 1 << 40) if span is None else stream.store.reader.hull(*span)
    return Query(vector, words, span, low, high, said, stand_out)


def words_of(text: str) -> list[str]:
    """Words that carry meaning, at most 16."""
    return [word for word in re.findall(r"\w+", text.lower()) if len(word) > 1 and word not in _STOP][:16]


def decode_picture(data: bytes) -> Image:
    """RGB of a JPEG, PNG or WebP. Raises PictureInvalid."""
    try:
        with Pillow.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise PictureInvalid("too many pixels")
            picture.draft("RGB", (1024, 1024))
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise PictureInvalid(type(error).__name__) from error


def candidates(
    stream: Stream, query: Query, extra: Iterable[int] = (), frames: int = _FRAMES, keep: int | None = None
) -> list[Candidate]:
    """Keyframes that may be meant; every event that words or `extra` name is among them with one frame at least.

    frames: that are compared closely; keep: how many of these, the likest, are read (None: all).
    """
    reader = stream.store.reader
    likest = _likest(stream, query, frames, keep)
    words = dict(reader.matching(query.words, query.low, query.high, _WORDS, said=query.said))
    live = {row.seq: row for row in stream.live()}
    rows = {**reader.by_seq({seq for seq, _ in likest} | set(words) | set(extra)), **live}
    found = {frame: likeness for frame, likeness in likest.items() if frame[0] not in live}
    found |= _live_likeness(stream, live.values(), query)
    made = []
    for row in rows.values():
        if query.span is not None and not _touches(row, query.span):
            continue
        for frame in _frames_of(row, query.span, found):
            made.append(_candidate(stream, row, frame, found.get((row.seq, frame.n)), words.get(row.seq)))
    return made


def spread(stream: Stream, query: Query, count: int) -> list[int]:
    """Events all over the range, for a question that names nothing but a time."""
    if query.span is None:
        return stream.store.reader.sample(*_known(stream), count)
    return stream.store.reader.sample(query.low, query.high, count)


def _known(stream: Stream) -> Span:
    return stream.store.reader.hull(-(1 << 62), 1 << 62)


def _likest(stream: Stream, query: Query, count: int, keep: int | None) -> dict[Frame, Likeness]:
    """Keyframes by likeness once what all frames have in common is taken off."""
    if query.vector is None:
        return {}
    hits, vectors = stream.index.find(query.vector, count, query.low, query.high)
    if not hits:
        return {}
    likeness = _likeness(stream, vectors, query)
    best = sorted(range(len(hits)), key=lambda n: -likeness[n].vector)[:keep]
    return {(hits[n].seq, hits[n].n): likeness[n] for n in best}


def _likeness(stream: Stream, vectors: Vector, query: Query) -> list[Likeness]:
    """Of some vectors, [n, dim]."""
    assert query.vector is not None
    mean = stream.index.mean
    apart, wanted = centred(vectors, mean), centred(query.vector[None, :], mean)[0]
    alike = (apart @ wanted).tolist()
    if not query.stand_out:
        return [Likeness(one, None) for one in alike]
    standing = (apart @ stream.index.background.towards(wanted)).tolist()
    return [Likeness(*both) for both in zip(alike, standing, strict=True)]


def _live_likeness(stream: Stream, rows: Iterable[EventRow], query: Query) -> dict[Frame, Likeness]:
    if query.vector is None:
        return {}
    size = 2 * len(query.vector)
    frames = [(row.seq, frame) for row in rows for frame in row.frames if len(frame.vector) == size]
    if not frames:
        return {}
    likeness = _likeness(stream, np.stack([from_half(frame.vector) for _, frame in frames]), query)
    return {(seq, frame.n): one for (seq, frame), one in zip(frames, likeness, strict=True)}


def _touches(row: EventRow, span: Span) -> bool:
    start, end = row.reach
    return start < span[1] and end > span[0]


def _frames_of(row: EventRow, span: Span | None, found: Mapping[Frame, Likeness]) -> list[Keyframe]:
    """The event's frames that were found and lie in the span; where none does, the one that says most about it."""
    frames = row.without_aside().frames
    if not frames:
        return []
    inside = [frame for frame in frames if span is None or span[0] <= frame.media_us < span[1]]
    if inside:
        return [frame for frame in inside if (row.seq, frame.n) in found] or inside[:1]
    assert span is not None
    # A picture lasts until the next: the last one before the span shows how it began.
    before = [frame for frame in frames if frame.media_us < span[0]]
    return [max(before, key=lambda frame: frame.media_us)] if before else [frames[0]]


def _candidate(
    stream: Stream, row: EventRow, frame: Keyframe, likeness: Likeness | None, words: float | None
) -> Candidate:  # fmt: skip
    vector, salience = (None, None) if likeness is None else (likeness.vector, likeness.salience)
    return Candidate(
        stream.key, row.seq, row.id, row.start_us, row.end_us, frame.n, frame.media_us, vector, words, row.merged,
        salience,
    )  # fmt: skip
