"""What a place is read to hold, and the layer that makes visual tokens of it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForImageTextToText, AutoTokenizer

from training.labels import FOREIGN, UNSURE, blank_labels, labels_of
from training.reading import WIDTH, Fit, Reader, new_reader, numbers, read
from training.tell import Learner
from training.world import COLOURS, PLACES, World


def test_a_fit_finds_what_features_say() -> None:
    dice = np.random.default_rng(0)
    mix = dice.normal(size=(WIDTH, 200)).astype(np.float32)
    scripts = [World(seed).script() for seed in range(40)]
    labels = [labels_of(script, at_us, 320, 240) for script in scripts for at_us in (4_000_000, 9_000_000)]
    truth = np.stack([numbers(one) for one in labels])
    features = (truth @ mix).astype(np.float16)
    fit = Fit(200)
    for n in range(0, len(labels), 16):
        fit.add(features[n : n + 16], labels[n : n + 16])
    sure = np.stack([one.kinds for one in labels]) != UNSURE
    assert sure.mean() > 0.5
    assert np.abs(read(features, fit.solve()) - truth)[sure].max() < 0.2


def test_numbers_say_what_stands_where() -> None:
    strange = numbers(blank_labels(FOREIGN))
    assert strange.shape == (9, WIDTH)
    assert strange.sum() == 18
    assert (strange[:, :9] == np.eye(9)).all()


def test_every_thing_of_a_label_is_a_number_of_its_own() -> None:
    seen = np.zeros(WIDTH)
    for seed in range(60):
        script = World(seed).script()
        for at_us in range(1_000_000, script.duration_us, 1_000_000):
            labels = labels_of(script, at_us, 320, 240)
            told = numbers(labels)
            seen += np.abs(told).sum(0)
            for place, (kind, colour) in enumerate(zip(labels.kinds, labels.colours, strict=True)):
                signs = (labels.digits[place] != UNSURE).sum()
                assert told[place, :56].sum() == 1 + (kind != UNSURE) + (colour != UNSURE) + signs
    assert (seen[[n for n in range(WIDTH) if n != 9 + FOREIGN]] > 0).all()


def test_a_faded_reading_says_the_same_more_quietly() -> None:
    clear = torch.ones(40, 9, WIDTH)
    faded = Reader.faded(clear, torch.Generator().manual_seed(0))
    kinds, colours = faded[:, :, 9:18], faded[:, :, 18:26]
    assert torch.equal(faded[:, :, :9], clear[:, :, :9])
    assert torch.equal(faded[:, :, 26:], clear[:, :, 26:])
    for part in (kinds, colours):
        assert torch.equal(part, part[:, :1, :1].expand_as(part))
        assert 0.65 <= float(part.min()) < 0.75 < 0.9 < float(part.max()) <= 1


def test_visual_tokens_begin_as_words(blank: Path) -> None:
    model: Any = AutoModelForImageTextToText.from_pretrained(blank, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(blank)
    table = model.get_input_embeddings().weight.detach()
    layer = new_reader(table, tokenizer)
    [red], [centre] = tokenizer.encode(" red"), tokenizer.encode(" centre")
    one = torch.zeros(WIDTH)
    one[PLACES.index("centre")] = 1
    one[9 + 9 + COLOURS.index("red")] = 1
    assert torch.allclose(
        functional.normalize(layer(one), dim=0), functional.normalize(table[red] + table[centre], dim=0)
    )


def test_what_is_written_takes_features_as_what_learnt_takes_readings(blank: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(blank, tmp_path / "model")
    learner = Learner(folder, tmp_path, tmp_path, torch.device("cpu"))
    dice = np.random.default_rng(1)
    reading = dice.normal(size=(WIDTH, 1440)).astype(np.float32)
    features = dice.normal(size=(2, 9, 1440)).astype(np.float32)
    with torch.inference_mode():
        learnt = learner.model.model.connector.modality_projection(torch.from_numpy(features @ reading.T))
    learner.write(reading)
    written: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        shipped = written.model.connector.modality_projection(torch.from_numpy(features))
    assert torch.allclose(learnt, shipped, rtol=1e-3, atol=1e-3 * float(learnt.abs().max()))
