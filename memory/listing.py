"""Lists of events for the doors: newest first, by words, by a picture."""

import re
from collections.abc import Sequence
from typing import Final

from memory import ranking, search
from memory.messages import EventPage, EventRecord, GapRecord, ListEvents, SearchPicture
from memory.ranking import Candidate, Wanted
from memory.rows import EventRow
from memory.stream import Stream
from perception.encoders import ImageEncoder, TextEncoder

_NEWEST: Final = 1 << 40
_RANKED: Final = 1000
"""So many events are told of a search, on however many pages."""
_RANKED_FRAMES: Final = 3 * _RANKED
"""The same for every page, so that a page goes on where the one before it ended."""
_GAPS: Final = 256
"""So many gaps, and as many forgotten ranges, are told with a list: the newest."""
_CURSOR: Final = re.compile(r"([tr])(\d{1,12})", re.ASCII)


class CursorInvalid(Exception):
    """The cursor is none that was given out for this kind of list."""


def list_events(stream: Stream, message: ListEvents, encoder: TextEncoder) -> EventPage:
    """A page. Raises CursorInvalid."""
    limit = max(1, message.limit)
    if message.q is None:
        return _by_time(stream, message, limit)
    start = _position(message.cursor, "r", 0)
    if start >= _RANKED:
        raise CursorInvalid(message.cursor)
    span = (message.since_us, message.until_us)
    query = search.query_for(stream, encoder.embed_texts([message.q])[0], search.words_of(message.q), span)
    ranked = _ranked(_stored(stream, search.candidates(stream, query, frames=_RANKED_FRAMES)))[:_RANKED]
    page = ranked[start : start + limit]
    more = f"r{start + limit}" if len(ranked) > start + limit else None
    return EventPage(message.request, _records(stream, page), more)


def search_picture(stream: Stream, message: SearchPicture, encoder: ImageEncoder) -> EventPage:
    """The likest events, each by its best frame. Raises search.PictureInvalid."""
    vector = encoder.embed_images([search.decode_picture(message.picture)])[0]
    query = search.query_for(stream, vector, [], (message.since_us, message.until_us))
    best: dict[int, Candidate] = {}
    for one in search.candidates(stream, query, frames=max(256, 4 * message.limit)):
        if one.vector is not None and (one.seq not in best or one.vector > (best[one.seq].vector or -2.0)):
            one.score = one.vector
            best[one.seq] = one
    ranked = sorted(best.values(), key=lambda one: -one.score)[: max(1, message.limit)]
    return EventPage(message.request, _records(stream, ranked), None)


def _by_time(stream: Stream, message: ListEvents, limit: int) -> EventPage:
    before = _position(message.cursor, "t", _NEWEST)
    rows = stream.store.reader.newest(message.since_us, message.until_us, before, limit + 1)
    more = f"t{rows[limit - 1].seq}" if len(rows) > limit else None
    gaps = _gaps(stream, message.since_us, message.until_us) if message.cursor is None else []
    return EventPage(message.request, [stream.record(row) for row in rows[:limit]], more, gaps)


def _gaps(stream: Stream, since_us: int, until_us: int) -> list[GapRecord]:
    """When nothing was perceived, and what was forgotten, in time order."""
    forgotten = [GapRecord(*span, "forgotten") for span in stream.forgotten.within(since_us, until_us)]
    found = stream.store.reader.gaps(since_us, until_us, _GAPS) + forgotten[-_GAPS:]
    return sorted(found, key=lambda gap: gap.start_us)


def _position(cursor: str | None, kind: str, default: int) -> int:
    if cursor is None:
        return default
    match = _CURSOR.fullmatch(cursor)
    if match is None or match[1] != kind:
        raise CursorInvalid(cursor)
    return int(match[2])


def _stored(stream: Stream, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without events that no list tells yet."""
    live = {row.seq for row in stream.live()}
    unknown = live - stream.store.reader.by_seq(live).keys()
    return [one for one in candidates if one.seq not in unknown]


def _ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One candidate an event, best first."""
    ranking.score(candidates, Wanted({}, None, 1))
    best: dict[int, Candidate] = {}
    for one in candidates:
        if one.seq not in best or one.score > best[one.seq].score:
            best[one.seq] = one
    return sorted(best.values(), key=lambda one: (-one.score, -one.seq))


def _records(stream: Stream, ranked: Sequence[Candidate]) -> list[EventRecord]:
    """Only what is committed is listed."""
    rows: dict[int, EventRow] = stream.store.reader.by_seq(one.seq for one in ranked)
    return [stream.record(rows[one.seq], one.score) for one in ranked if one.seq in rows]
