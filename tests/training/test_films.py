"""Films as a model sees them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from perception.checkpoint import Placement
from perception.pictures import PictureMaker
from training.bank import HELD_OUT_SEEDS, SHARD, TRAINING_SEEDS, fill, films_of, glimpses, strangers
from training.blank import SIDE
from training.films import Shrinker, make_film, training_preset
from training.see import normalised
from training.strangers import stranger
from training.world import UNSEEN_PAIRS, Preset, World, frame


def short(seed: int) -> Preset:
    """Little to draw."""
    return replace(glimpses(seed), duration_s=3.0)


def test_a_film_is_the_same_for_its_seed(blank: Path) -> None:
    one, same, other = (make_film(seed, short(seed), Shrinker(blank)) for seed in (5, 5, 6))
    assert np.array_equal(one.pictures, same.pictures)
    assert one.times == same.times
    assert one.pictures.shape == (6, SIDE, SIDE, 3)
    assert not np.array_equal(one.pictures, other.pictures)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_seen_is_the_script_a_little_blurred(blank: Path, seed: int) -> None:
    film = make_film(seed, short(seed), Shrinker(blank))
    for at_us, picture in zip(film.times, film.pictures, strict=True):
        drawn = Image.fromarray(frame(film.script, at_us, film.width, film.height)).resize((SIDE, SIDE))
        assert np.abs(np.asarray(drawn).astype(int) - picture.astype(int)).mean() < 8


def test_pictures_are_those_that_the_server_s_processor_makes(blank: Path) -> None:
    """Up to the rounding to bytes in between."""
    seen = frame(World(3).script(), 4_000_000, 640, 480)
    shrinker = Shrinker(blank)

    class Model:
        def get_image_features(self, pixel_values: torch.Tensor) -> None:
            """Only its signature counts."""

    placement = Placement(torch.device("cpu"), torch.float32, "sdpa")
    served = PictureMaker(shrinker.processor, Model(), placement, 64).inputs([seen])["pixel_values"]
    taught = normalised(torch.from_numpy(shrinker.shrink([seen])))
    assert torch.allclose(served.reshape(taught.shape), taught, atol=1 / 127)


def test_training_never_shows_what_is_held_back() -> None:
    for seed in range(30):
        script = World(seed, training_preset(seed)).script()
        assert not {(visit.thing.colour, visit.thing.shape) for visit in script.visits} & UNSEEN_PAIRS


def test_a_bank_is_drawn_once(blank: Path, tmp_path: Path) -> None:
    fill(tmp_path, 100, SHARD, short, blank)
    [file] = tmp_path.iterdir()
    drawn = file.stat().st_mtime_ns
    fill(tmp_path, 100, SHARD, short, blank)
    assert file.stat().st_mtime_ns == drawn
    assert [film.script.seed for film in films_of(tmp_path)] == list(range(100, 100 + SHARD))


def test_seeds_of_training_are_far_from_those_of_tests() -> None:
    assert min(TRAINING_SEEDS, HELD_OUT_SEEDS, abs(TRAINING_SEEDS - HELD_OUT_SEEDS)) >= 10_000_000


def test_strangers_are_many_and_kept(blank: Path, tmp_path: Path) -> None:
    assert np.array_equal(stranger(1), stranger(1))
    drawn = strangers(tmp_path, 0, 6, blank)
    assert drawn.shape == (6, SIDE, SIDE, 3)
    assert len({picture.tobytes() for picture in drawn}) == 6
    assert np.array_equal(strangers(tmp_path, 0, 6, blank), drawn)
