"""Fits the weights of memory's ranking: `python -m training.rank [--out memory/ranking.json]`.

What helps is measured on other films than those that the weights are fitted on; no benchmark shows any of these.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from memory.ranking import Weights
from perception.config import ModelConfig
from training.recollections import Posed, recollect

FIT_SEEDS: Final = range(910_000, 910_020)
HELD_OUT_SEEDS: Final = range(930_000, 930_020)
_MOST: Final = 30
_ROUNDS: Final = 3
_STEPS: Final = (0.0, 0.5, 0.71, 1.41, 2.0)
_LEAST_GAIN: Final = 0.002
"""A weight moves for no less: what is less is chance."""
START: Final = Weights(words=1.5, recency=0.15, target=2.0, order=0.5, crowd=0.6)
_FITTED: Final = ("words", "target", "order", "crowd")
"""Not recency: that of two alike the newer one is meant is a choice, which no question here asks about."""
_NAMES: Final = ("recency", *_FITTED)
_KINDS: Final = ("thing", "all", "last", "first", "ago", "thing ago", "said")


def marks(posed: Sequence[Posed], weights: Weights) -> dict[str, float]:
    """By kind of question, 0 to 1: half for a true moment in the first place, half for the share that is shown."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in posed:
        found[one.kind].append(_mark(one, weights))
    return {kind: sum(values) / len(values) for kind, values in found.items()}


def _mark(one: Posed, weights: Weights) -> float:
    picked = one.ranked.best(weights)
    hits = [{n for n, (start, end) in enumerate(one.truths) if start <= shown.media_us < end} for shown in picked]
    # One proof is enough, but for a question after all of them.
    wanted = min(len(one.truths), one.ranked.limit) if one.kind == "all" else 1
    return 0.5 * bool(hits and hits[0]) + 0.5 * min(1.0, len(set().union(*hits)) / wanted)


def mean(found: dict[str, float]) -> float:
    """Every kind counts alike."""
    return sum(found.values()) / len(found)


def fit(posed: Sequence[Posed], start: Weights) -> Weights:
    """The best weights found from `start` on, one of them changed at a time."""
    best, reached = start, mean(marks(posed, start))
    for _ in range(_ROUNDS):
        before = best
        for name in _FITTED:
            for value in [getattr(best, name) * step for step in _STEPS]:
                tried = _changed(best, name, value)
                score = mean(marks(posed, tried))
                if score > reached + _LEAST_GAIN:
                    best, reached = tried, score
        if best == before:
            break
    return best


def _changed(weights: Weights, name: str, value: float) -> Weights:
    rounded = float(f"{value:.2g}")
    return msgspec.structs.replace(weights, **{name: min(1.0, rounded) if name == "crowd" else rounded})


def table(posed: Sequence[Posed], weights: Weights) -> str:
    """What each weight helps: the marks of all kinds with it at nothing, as lines of Markdown."""
    rows = [("all", marks(posed, weights))]
    rows += [(f"no {name}", marks(posed, _changed(weights, name, 0.0))) for name in _NAMES]
    counts = {kind: sum(one.kind == kind for one in posed) for kind in _KINDS}
    head = " | ".join(f"{kind} ({counts[kind]})" for kind in _KINDS)
    lines = [f"| weights | mean | {head} |", "|---" * (len(_KINDS) + 2) + "|"]
    for name, found in rows:
        cells = " | ".join(f"{found.get(kind, math.nan):.2f}" for kind in _KINDS)
        lines.append(f"| {name} | {mean(found):.3f} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Fit, tell, write."""
    parser = argparse.ArgumentParser(prog="python -m training.rank", description=__doc__)
    parser.add_argument("--encoder", type=Path, default=Path("memory/embedded"))
    parser.add_argument("--out", type=Path, help="where the weights go; without it they are told alone")
    given = parser.parse_args()
    encoder = ModelConfig(str(given.encoder.resolve()))
    posed = recollect(FIT_SEEDS, encoder, _MOST)
    fitted = fit(posed, START)
    print(f"fitted on {len(posed)} questions: {mean(marks(posed, START)):.3f} -> {mean(marks(posed, fitted)):.3f}")
    print(msgspec.json.encode(fitted).decode())
    held_out = recollect(HELD_OUT_SEEDS, encoder, _MOST)
    print(f"on {len(held_out)} questions about other films, from {mean(marks(held_out, START)):.3f}:")
    print(table(held_out, fitted))
    if given.out is not None:
        given.out.write_bytes(msgspec.json.encode(fitted) + b"\n")


if __name__ == "__main__":
    main()
