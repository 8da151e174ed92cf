"""Haystacks shared out to a process for each core: none of them needs another."""

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from typing import Final

import torch

from evaluation.micro.needle_search import Searcher
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
    with tempfile.TemporaryDirectory(prefix="omnilive-needle-") as scratch, _workers(scratch) as pool:
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


@contextmanager
def _workers(scratch: str) -> Iterator[ProcessPoolExecutor]:
    """Ended at once where something goes wrong: a day takes minutes."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(_MOST, os.cpu_count() or 1), spawn, _begin, (scratch,))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown()


def _begin(scratch: str) -> None:
    """In a process of the pool. scratch: a folder that goes with the pool, however that ends."""
    tempfile.tempdir = scratch
    # Encoders this small are slower on many threads than on one.
    torch.set_num_threads(1)


@cache
def _searcher() -> Searcher:
    return Searcher()


def _film(segment: int) -> None:
    _searcher().film(segment)


def _search(haystack: Haystack) -> Searched:
    return _searcher().search(haystack)
