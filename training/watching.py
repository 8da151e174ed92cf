"""What a server would have at hand when a question comes: window and evidence, picked from a film's frames.

No server runs here: the window holds the newest frames that differ, as perception pushes and renews them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from training.world import Script, Shown

WINDOW: Final = 8
_GRAIN: Final = 64
"""Positions closer than this share of the picture look the same."""

State = tuple[object, ...]


def states_of(script: Script, times: Sequence[int]) -> list[State]:
    """What tells frames apart: where everything is."""
    return [_state(script, at_us) for at_us in times]


def _state(script: Script, at_us: int) -> State:
    scene = script.scene(at_us)
    things = []
    for visit in scene.present(at_us):
        x, y = visit.leg(at_us).position(at_us, 0.1, 0.1)
        things.append((visit.thing.number, round(x * _GRAIN), round(y * _GRAIN)))
    return (scene.start_us, scene.sign(at_us), *things)


def window_at(states: Sequence[State], times: Sequence[int], newest: int, frames: int) -> tuple[Shown, ...]:
    """The window after frame `newest`: the last of equal frames is renewed, not repeated."""
    kept: list[int] = []
    last = newest
    for index in range(newest, -1, -1):
        if index == 0 or states[index] != states[index - 1]:
            kept.append(index)
            if len(kept) == frames:
                break
    window = [Shown(index, times[index]) for index in reversed(kept)]
    # The newest entry is the first frame that looked so; it carries the time of the last one.
    return (*window[:-1], Shown(window[-1].index, times[last]))


def pick_evidence(
    dice: np.random.Generator,
    window: Sequence[Shown],
    times: Sequence[int],
    frames: int,
    moments: Sequence[int] = (),
) -> tuple[Shown, ...]:
    """Frames of the past, most of them older than the window. moments: what the first of them are to be nearest to."""
    oldest = window[0].index if window else len(times)
    pool = list(range(oldest)) if oldest > 0 and dice.random() < 0.85 else list(range(window[-1].index + 1))
    wanted = [min(pool, key=lambda n: abs(times[n] - moment)) for moment in moments]
    others = (pool[n] for n in dice.permutation(len(pool)))
    picked = list(dict.fromkeys([*wanted, *others]))[:frames]
    return tuple(Shown(n, times[n]) for n in sorted(picked))
