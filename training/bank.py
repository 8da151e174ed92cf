"""Banks of films on disk: drawn once by several processes, read by every piece of a training."""

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from training.films import Film, Pictures, Shrinker, make_film, training_preset
from training.strangers import stranger
from training.world import Preset

TRAINING_SEEDS: Final = 10_000_000
HELD_OUT_SEEDS: Final = 20_000_000
"""Seeds below are for benchmarks, demos and tests: no film of a training has one of them."""
SHARD: Final = 25
_GLIMPSES: Final = {"scene_s": (1.5, 3.0), "pause_s": (0.3, 0.8), "quiet_s": 0.3}
"""What makes a film change quickly: for training on single frames."""


def scaled(amount: int, scale: float) -> int:
    """So much of an amount of films, in whole shards."""
    return max(SHARD, round(amount * scale / SHARD) * SHARD)


def glimpses(seed: int) -> Preset:
    """A preset in which much happens in little time."""
    return replace(training_preset(seed), **_GLIMPSES)  # type: ignore[arg-type]


def fill(folder: Path, first: int, films: int, preset: Callable[[int], Preset], model: Path) -> None:
    """Draw so many films from the seed `first` on, those that are not there yet, as files in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = [first + n for n in range(0, films, SHARD)]
    missing = [start for start in starts if not (folder / f"{start}.pkl").is_file()]
    if missing:
        with _workers() as pool:
            list(pool.map(partial(_draw_shard, folder, preset, model), missing))


def _workers() -> ProcessPoolExecutor:
    """Fresh processes: a fork of one that has threads may wait for ever for a lock that one of them held."""
    return ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))


def _draw_shard(folder: Path, preset: Callable[[int], Preset], model: Path, start: int) -> None:
    shrinker = Shrinker(model)
    films = [make_film(seed, preset(seed), shrinker) for seed in range(start, start + SHARD)]
    fresh = folder / f"{start}.new"
    fresh.write_bytes(pickle.dumps(films))
    fresh.rename(folder / f"{start}.pkl")


def films_of(folder: Path) -> Iterator[Film]:
    """All films of a bank, by their seeds."""
    for file in sorted(folder.glob("*.pkl"), key=lambda one: int(one.stem)):
        yield from pickle.loads(file.read_bytes())  # noqa: S301 (written by `fill`)


def strangers(folder: Path, first: int, count: int, model: Path) -> Pictures:
    """So many pictures that are not of the world, drawn where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"strangers-{first}-{count}.npy"
    if not file.is_file():
        with _workers() as pool:
            drawn = list(pool.map(stranger, range(first, first + count), chunksize=50))
        fresh = file.with_suffix(".new.npy")
        np.save(fresh, Shrinker(model).shrink(drawn))
        fresh.rename(file)
    pictures: Pictures = np.load(file)
    return pictures
