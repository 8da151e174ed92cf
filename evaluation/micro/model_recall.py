"""Does a text find its picture? Captions of the world against frames as perception embeds them."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from evaluation.checks import Check, share_check
from evaluation.micro.model_view import Viewer, embedded
from evaluation.registry import Progress
from perception.dual_encoder import load_text_encoder
from perception.encoders import Vectors
from perception.messages import Percept
from training.world import Script, World, captions

EVENTS: Final = 1000
_BLOCK: Final = 100
_BEST: Final = 5
_FIRST_SEED: Final = 500_000
_MOST_FILMS: Final = 1000


def run(full: bool, progress: Progress) -> list[Check]:
    """1000 events in either profile."""
    perception, _ = embedded()
    viewer = Viewer(perception)
    events: dict[str, bytes] = {}
    for seed in range(_FIRST_SEED, _FIRST_SEED + _MOST_FILMS):
        script = World(seed).script()
        for caption, vector in _events(script, viewer.shoot(script)[1]):
            events.setdefault(caption, vector)
        progress(f"{min(len(events), EVENTS)} of {EVENTS} events")
        if len(events) >= EVENTS:
            break
    chosen = dict(list(events.items())[:EVENTS])
    texts = load_text_encoder(perception.encoder).embed_texts(list(chosen))
    pictures = np.stack([np.frombuffer(vector, np.float32) for vector in chosen.values()])
    return figures(texts, pictures, full)


def figures(texts: Vectors, pictures: Vectors, full: bool) -> list[Check]:
    """text n belongs to picture n."""
    scores = texts @ pictures.T
    blocks = [scores[n : n + _BLOCK, n : n + _BLOCK] for n in range(0, len(scores) - _BLOCK + 1, _BLOCK)]
    first = sum(int((block.argmax(1) == np.arange(_BLOCK)).sum()) for block in blocks)
    best = np.argpartition(-scores, _BEST, axis=1)[:, :_BEST]
    five = int((best == np.arange(len(scores))[:, None]).any(1).sum())
    return [
        _found("encoder.recall1_100", first, _BLOCK * len(blocks), full),
        _found("encoder.recall5_1000", five, len(scores), full),
    ]


def _found(name: str, right: int, asked: int, full: bool) -> Check:
    return share_check(name, right, asked, ">= 0.90", full=full, note=f"{right} of {asked}")


def _events(script: Script, percepts: list[Percept]) -> Iterator[tuple[str, bytes]]:
    """One frame of each stretch in which all is at rest and something is to be seen."""
    for caption in captions(script):
        if "moving" in caption.text or caption.text == "nothing.":
            continue
        inside = [one for one in percepts if caption.start_us <= one.media_us < caption.end_us]
        if inside:
            yield caption.text, inside[-1].vector
