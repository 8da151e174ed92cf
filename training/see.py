"""First stage: the vision encoder learns to tell what stands in each place, from labels read off the scripts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForImageTextToText

from training.bank import HELD_OUT_SEEDS, TRAINING_SEEDS, fill, films_of, glimpses, scaled, strangers
from training.blank import SHUFFLE, VISION
from training.device import dice_on, half, loaded, moved
from training.labels import DIGITS, EMPTY, FOREIGN, KINDS, SIGN, UNSURE, Labels, blank_labels, labels_of
from training.run import Run, descend
from training.world import COLOURS

FILMS: Final = 600
HELD_OUT_FILMS: Final = 20
STRANGERS: Final = 4000
HELD_OUT_STRANGERS: Final = 300
BATCH: Final = 96
STEPS: Final = 1000
_RATE: Final = 1.2e-3
_WARMUP: Final = 200
_EMPTY_WEIGHT: Final = 0.3
_WIDTH: Final = int(VISION["hidden_size"]) * SHUFFLE**2


@dataclass(frozen=True)
class Sights:
    """Pictures [n, side, side, 3] with their labels, each [n, 9, ...]."""

    pictures: Tensor
    kinds: Tensor
    colours: Tensor
    digits: Tensor
    middles: Tensor


class Reader(nn.Module):
    """Reads what stands in a place off its features; thrown away after the training."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (KINDS, len(COLOURS), 10 * DIGITS, 2)
        self.linear = nn.Linear(_WIDTH, sum(self.sizes))

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """[n, 9, width] to kinds, colours, digits and middles."""
        read: tuple[Tensor, ...] = self.linear(features).float().split(self.sizes, dim=-1)
        return read


def place_features(model: Any, pixels: Tensor) -> Tensor:
    """What the connector gets of each place: [n, 9, width] from pixels [n, 3, side, side]."""
    seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
    shuffled: Tensor = model.model.connector.pixel_shuffle(seen, SHUFFLE)
    return shuffled


def normalised(pictures: Tensor) -> Tensor:
    """Bytes [n, side, side, 3] as the processor gives them to the model: [n, 3, side, side], -1..1."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


class Learner:
    """The encoder and its reader, with all that a piece hands on to the next."""

    def __init__(self, folder: Path, training: Sights, held_out: Sights, steps: int, device: torch.device) -> None:
        """The sights are on `device`."""
        self._training, self._held_out, self._steps = training, held_out, steps
        self.model = loaded(AutoModelForImageTextToText, folder, device)
        self._reader = Reader().to(device)
        self._learning = nn.ModuleDict({"vision": self.model.model.vision_model, "reader": self._reader})
        self._optimizer = torch.optim.AdamW(
            self._learning.parameters(), lr=_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
        )
        self.step = 0

    @property
    def over(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self._steps

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._learning.load_state_dict(state["learning"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {
            "learning": self._learning.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }

    def learn(self, _: float) -> float:
        """One step; the loss."""
        rate = _rate(self.step, self._steps)
        dice = dice_on(self.model.device, self.step)
        batch = torch.randint(len(self._training.pictures), (BATCH,), generator=dice, device=self.model.device)
        pixels = disturbed(normalised(self._training.pictures[batch]), dice)
        with half(self.model.device):
            read = self._reader(place_features(self.model, pixels))
        loss = _loss(read, self._training, batch)
        value = descend(self._optimizer, rate, loss, self._learning.parameters())
        self.step += 1
        return value

    def look(self) -> dict[str, float]:
        """What it tells apart."""
        return accuracies(self.model, self._reader, self._held_out)


def train(model_folder: Path, banks: Path, run: Run, device: torch.device, scale: float = 1.0) -> bool:
    """One piece. True when the stage is over; the model's folder then holds what was learnt.

    scale: share of the films and of the steps that a whole training takes.
    """
    training, held_out = (moved(_sights(banks, model_folder, scale, held_out=kind), device) for kind in (False, True))
    learner = Learner(model_folder, training, held_out, round(STEPS * scale), device)
    run.go_on(learner)
    run.log(step=learner.step, **learner.look())
    if learner.over:
        learner.model.save_pretrained(model_folder)
    return learner.over


def _rate(step: int, steps: int) -> float:
    """Up quickly, then down along a cosine."""
    share = min(1.0, max(0.0, (step - _WARMUP) / max(1, steps - _WARMUP)))
    return _RATE * min(1.0, (step + 1) / _WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def _sights(banks: Path, model: Path, scale: float, *, held_out: bool) -> Sights:
    folder = banks / ("glimpses-held-out" if held_out else "glimpses")
    first = HELD_OUT_SEEDS if held_out else TRAINING_SEEDS
    fill(folder, first, scaled(HELD_OUT_FILMS if held_out else FILMS, scale), glimpses, model)
    pictures, labels = [], []
    for film in films_of(folder):
        pictures.append(film.pictures)
        labels += [labels_of(film.script, at_us, film.width, film.height) for at_us in film.times]
    others = strangers(banks, first, scaled(HELD_OUT_STRANGERS if held_out else STRANGERS, scale), model)
    pictures.append(others)
    labels += [blank_labels(FOREIGN)] * len(others)
    return Sights(
        torch.from_numpy(np.concatenate(pictures)),
        _stacked(labels, "kinds"),
        _stacked(labels, "colours"),
        _stacked(labels, "digits"),
        _stacked(labels, "middles"),
    )


def _stacked(labels: list[Labels], name: str) -> Tensor:
    return torch.from_numpy(np.stack([getattr(one, name) for one in labels]))


def disturbed(pixels: Tensor, dice: torch.Generator) -> Tensor:
    """Other light, other noise: what no codec and no room of the films brings in."""
    each = pixels.new_empty(len(pixels), 1, 1, 1)
    gain = torch.empty_like(each).uniform_(0.65, 1.15, generator=dice)
    lift = torch.empty_like(each).uniform_(-0.1, 0.1, generator=dice)
    sigma = torch.empty_like(each).uniform_(0, 0.07, generator=dice)
    noise = torch.empty_like(pixels).normal_(generator=dice)
    return (((pixels + 1) * gain - 1 + lift) + sigma * noise).clamp(-1, 1)


def _loss(read: tuple[Tensor, ...], sights: Sights, batch: Tensor) -> Tensor:
    kinds, colours, digits, middles = read
    weights = kinds.new_ones(KINDS)
    weights[EMPTY] = _EMPTY_WEIGHT
    truth = sights.kinds[batch]
    loss = functional.cross_entropy(kinds.flatten(0, 1), truth.flatten(), weights, ignore_index=UNSURE)
    loss = loss + _cross_entropy(colours, sights.colours[batch])
    loss = loss + _cross_entropy(digits.reshape(*digits.shape[:-1], DIGITS, 10), sights.digits[batch])
    shaped = (truth > EMPTY) & (truth < SIGN)
    off = functional.smooth_l1_loss(middles, sights.middles[batch], beta=0.05, reduction="none").sum(-1)
    return loss + 2 * (off * shaped).sum() / shaped.sum().clamp(min=1)


def _cross_entropy(scores: Tensor, truth: Tensor) -> Tensor:
    """Where something is said at all: a batch may say nothing."""
    told = truth != UNSURE
    summed = functional.cross_entropy(scores[told], truth[told], reduction="sum")
    return summed / told.sum().clamp(min=1)


@torch.inference_mode()
def accuracies(model: Any, reader: Reader, sights: Sights) -> dict[str, float]:
    """On sights, by what is told apart; `whole`: frames of the world in which nothing at all is wrong."""
    right: dict[str, list[Tensor]] = {"kind": [], "colour": [], "sign": [], "middle": [], "stranger": [], "whole": []}
    for start in range(0, len(sights.pictures), 256):
        batch = slice(start, start + 256)
        with half(sights.pictures.device):
            read = reader(place_features(model, normalised(sights.pictures[batch])))
        for name, found in _judged(read, sights, batch).items():
            right[name].append(found)
    return {name: float(torch.cat(found).float().mean()) for name, found in right.items()}


def _judged(read: tuple[Tensor, ...], sights: Sights, batch: slice) -> dict[str, Tensor]:
    truth, colours, digits = sights.kinds[batch], sights.colours[batch], sights.digits[batch]
    foreign = (truth == FOREIGN).all(-1)
    kind_ok, colour_ok = read[0].argmax(-1) == truth, read[1].argmax(-1) == colours
    digits_ok = (read[2].reshape(*digits.shape, 10).argmax(-1) == digits).all(-1)
    shaped, signs = (truth > EMPTY) & (truth < SIGN), truth == SIGN
    off = (read[3] - sights.middles[batch]).abs().amax(-1)
    wrong = (~kind_ok & (truth != UNSURE)) | (shaped & ~colour_ok) | (signs & ~digits_ok)
    return {
        "kind": kind_ok[shaped],
        "colour": colour_ok[shaped],
        "sign": digits_ok[signs],
        "middle": off[shaped] < 0.1,
        "stranger": (kind_ok.float().mean(-1) > 0.5)[foreign],
        "whole": ~wrong.any(-1)[~foreign],
    }
