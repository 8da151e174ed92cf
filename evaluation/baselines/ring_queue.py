"""Frames through `multiprocessing.Queue`, used as documented: put an array here, get it in the other process."""

import multiprocessing
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DEADLINE_S = 60.0


def consume(frames: "multiprocessing.Queue[Any]", done: "multiprocessing.Queue[int]") -> None:
    """The other process: gets until None comes, then says how many there were."""
    count = 0
    done.put(0)
    while frames.get() is not None:
        count += 1
    done.put(count)


class QueueConsumer:
    """A process at the other end of a queue with room for `depth` frames. Use it as a context."""

    def __init__(self, depth: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._frames: multiprocessing.Queue[Any] = context.Queue(depth)
        self._done: multiprocessing.Queue[int] = context.Queue()
        self._process = context.Process(target=consume, args=(self._frames, self._done), daemon=True)

    def frames_per_second(self, frame: NDArray[np.uint8], count: int) -> float:
        """Start the other process, then time `count` frames from the first put to the last get."""
        self._process.start()
        self._done.get(timeout=_DEADLINE_S)
        begin = time.monotonic_ns()
        for _ in range(count):
            self._frames.put(frame)
        self._frames.put(None)
        got = self._done.get(timeout=_DEADLINE_S)
        seconds = (time.monotonic_ns() - begin) / 1e9
        self._process.join(_DEADLINE_S)
        if got != count:
            raise RuntimeError(f"{got} of {count} frames arrived")
        return count / seconds
