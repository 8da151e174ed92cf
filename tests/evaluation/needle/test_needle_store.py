"""A haystack in memory's own stage, with encoders that know which frame is meant: found; with broken ones: lost."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.micro.model_view import STREAM
from evaluation.micro.needle_store import HaystackMemory
from evaluation.micro.needle_watch import Hay, Record, composed, index_of, moved, vectors_of
from evaluation.needle.plan import Haystack, Needle, Note
from memory.messages import Recall
from perception.config import ModelConfig, PerceptionConfig
from perception.encoders import Image, Vectors
from perception.messages import Percept, Unchanged

DIM = 16
LENGTH = 200
NEEDLE = 77
CONFIG = PerceptionConfig(ModelConfig(""), None)
QUESTION = "Where was the red circle last at rest?"


def unit(seed: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return drawn / np.float32(np.linalg.norm(drawn))


class Texts:
    """Both halves: a text means the needle, or nothing at all."""

    dim = DIM

    def __init__(self, *, broken: bool) -> None:
        self.text = self.image = self
        self._meant = unit(-1 & 0xFFFF) if broken else unit(NEEDLE)

    def embed_texts(self, texts: list[str]) -> Vectors:
        return np.tile(self._meant, (len(texts), 1))

    def embed_images(self, images: list[Image]) -> Vectors:
        return np.tile(self._meant, (len(images), 1))


def records() -> list[Record]:
    """Scenes of ten frames; the needle is a scene of its own."""
    shown = [NEEDLE if n == NEEDLE else 1000 + n // 10 + (n > NEEDLE) * 500 for n in range(LENGTH)]
    made: list[Record] = []
    for n, scene in enumerate(shown):
        cut = n > 0 and shown[n - 1] != scene
        made.append(Percept(STREAM, n * 1_000_000, 0, b"\xff\xd8", unit(scene).tobytes(), cut, n * 1_000_000))
    return made


@pytest.mark.parametrize("broken", [False, True])
def test_the_needle_is_found_only_where_recall_works(broken: bool) -> None:
    texts = Texts(broken=broken)
    with HaystackMemory(CONFIG, texts, records()) as memory:
        recall = Recall(1, [STREAM], QUESTION, None, None, [(LENGTH - 1) * 1_000_000], 0)
        context = memory.recall(recall, 5)
    assert 1 <= len(context.evidence) <= 5
    assert (NEEDLE * 1_000_000 in {one.media_us for one in context.evidence}) is not broken


def test_unchanged_frames_show_what_was_before() -> None:
    first, last = unit(1), unit(2)
    told: list[Record] = [
        Percept(STREAM, 0, 0, b"", first.tobytes(), False, 0),
        Unchanged(STREAM, 1_000_000, 0),
        Percept(STREAM, 3_000_000, 0, b"", last.tobytes(), True, 3_000_000),
    ]
    vectors = vectors_of(told, 5, DIM)
    assert [bool((one == first).all()) for one in vectors] == [True, True, True, False, False]
    assert (vectors[4] == last).all()


def test_records_move_in_time() -> None:
    later = moved(Percept(STREAM, 5, 0, b"", b"", True, 4), 2)
    assert isinstance(later, Percept)
    assert (later.media_us, later.cut_us) == (2_000_005, 2_000_004)


class Filmed:
    """Takes the watcher's place: a film becomes one record for each frame, marked by where it was filmed."""

    def __init__(self) -> None:
        self.films: list[tuple[int, int]] = []

    def watch(self, pictures: object, since: int = 0) -> list[Record]:
        count = sum(1 for _ in pictures) // 4  # type: ignore[attr-defined]
        self.films.append((since, count))
        mark = b"stretch" if since else b"hay"
        return [Percept(STREAM, (since + n) * 1_000_000, 0, mark, b"", False, 0) for n in range(count)]


def test_hay_is_cached_and_notes_are_filmed(tmp_path: Path) -> None:
    watcher = Filmed()
    note = Note(100, 3, ("red", "square"), 0, "123", 4, 1)
    haystack = Haystack(1, 200, (Needle(note, 0.5, 0),), (), ())
    for _ in range(2):
        hay = Hay(watcher, CONFIG, tmp_path)
        told = composed(hay, watcher, haystack)
        assert [index_of(one) for one in told] == list(range(200))
        filmed = [index_of(one) for one in told if isinstance(one, Percept) and one.jpeg == b"stretch"]
        assert filmed == list(range(84, 119))
    assert watcher.films == [(0, 512), (84, 35), (84, 35)]
