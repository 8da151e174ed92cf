"""Work that can be shared out, in a fresh process for each core."""

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def workers(most: int) -> Iterator[ProcessPoolExecutor]:
    """At most so many processes, ended at once where something goes wrong; what they leave in their folder for
    temporary files goes with them. Fresh ones: a fork of a process that has threads may wait for a lock for ever."""
    with tempfile.TemporaryDirectory(prefix="omnilive-bench-") as scratch:
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(most, os.cpu_count() or 1), spawn, _begin, (scratch,))
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
    # Models this small are slower on many threads than on one.
    torch.set_num_threads(1)
