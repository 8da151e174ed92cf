"""Haystacks shared out to a process for each core: none of them needs another."""

from collections.abc import Sequence
from concurrent.futures import as_completed
from functools import cache
from typing import Final

from evaluation.micro.needle_search import Searcher
from evaluation.micro.workers import workers
from evaluation.needle.films import SEGMENT
from evaluation.needle.plan import Haystack
from evaluation.needle.searched import Begun, Searched
from evaluation.registry import Progress

_MOST: Final = 8
"""A process holds about 1.5 GB while it searches a day."""


def search_all(plan: Sequence[Haystack], begun: Begun, progress: Progress) -> list[Searched]:
    """What each haystack gave, in their order; those that were begun with are not searched again."""
    known = {one: searched for one in plan if (searched := begun.taken_over(one)) is not None}
    left = [one for one in plan if one not in known]
    if known:
        progress(f"{len(known)} of {len(plan)} haystacks are known from a run that was broken off")
    with workers(_MOST) as pool:
        segments = -(-max((one.length for one in left), default=0) // SEGMENT)
        for n, _ in enumerate(pool.map(_film, range(segments))):
            progress(f"{n + 1} of {segments} films of hay")
        # The longest first, so that no process is left alone with a day at the end.
        searching = {pool.submit(_search, one): one for one in sorted(left, key=lambda one: -one.length)}
        for future in as_completed(searching):
            haystack = searching[future]
            known[haystack] = future.result()
            begun.keep(haystack, known[haystack])
            needles = sum(len(one.needles) for one in known.values())
            progress(f"{len(known)} of {len(plan)} haystacks, {needles} needles; the last in {haystack.length} frames")
    return [known[one] for one in plan]


@cache
def _searcher() -> Searcher:
    return Searcher()


def _film(segment: int) -> None:
    _searcher().film(segment)


def _search(haystack: Haystack) -> Searched:
    return _searcher().search(haystack)
