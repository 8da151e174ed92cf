"""Last stage: the language model learns to answer, from the simplest sheets to those that reasoning sends.

It goes on to fuller sheets when held-out questions about the simpler ones are answered, and keeps mixing those in.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from transformers import AutoModelForImageTextToText, AutoTokenizer

from training.device import dice_on, half, loaded, moved
from training.lessons import LEVELS
from training.reading import Reader, new_reader
from training.run import Run, descend
from training.shelf import Batch, Shelf, load_reading, prepare

_RATE: Final = 1.5e-3
_WARMUP: Final = 200
_ENOUGH: Final = 0.9
"""Share of held-out questions that must be right before sheets become fuller; but for letters, which come late, and
need no other sheet for it.
"""
_LOOKS: Final = 6
_LOOKS_AT_THE_END: Final = 18
_LAST_RATE: Final = 0.03
_SMOOTHED: Final = 0.1
"""Share of an answer that any token might be: what was never seen together becomes no less likely than other errors."""
_AVERAGED: Final = 0.99
"""How much of the mean of the weights stays from step to step."""


class Learner:
    """The model with all that a piece hands on to the next: its weights, their mean, the optimizer, how far it is.

    While it learns, the connector takes readings instead of features.
    """

    def __init__(self, folder: Path, films: Path, held_out: Path, device: torch.device, *, last: bool = False) -> None:
        """last: the rate falls to almost nothing by the end of the piece."""
        self.folder = folder
        self._films, self._held_out, self._last = films, held_out, last
        self._batches: Iterator[Batch] | None = None
        self.model = loaded(AutoModelForImageTextToText, folder, device)
        connector, text = self.model.model.connector, self.model.model.text_model
        self._shipped = connector.modality_projection
        words = text.get_input_embeddings().weight
        connector.modality_projection = new_reader(words.cpu(), AutoTokenizer.from_pretrained(folder)).to(device)
        self._learning = nn.ModuleList([connector, text])
        self._average = AveragedModel(
            self._learning,
            multi_avg_fn=get_ema_multi_avg_fn(_AVERAGED),  # type: ignore[no-untyped-call]
        )
        groups = [
            {"params": connector.parameters(), "weight_decay": 0.0},
            {"params": text.parameters(), "weight_decay": 0.1},
        ]
        self._optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self.step = self.level = 0

    @property
    def over(self) -> bool:
        """There is always more to learn: time ends it."""
        return False

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._learning.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.level = int(state["step"]), int(state["level"])

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        parts: dict[str, Any] = {"model": self._learning, "average": self._average, "optimizer": self._optimizer}
        kept = {name: part.state_dict() for name, part in parts.items()}
        return {**kept, "step": self.step, "level": self.level}

    def learn(self, passed: float) -> float:
        """One step; the loss."""
        if self._batches is None:
            self._batches = self._lay_out()
        batch = moved(next(self._batches), self.model.device)
        share = max(_LAST_RATE, 1 - passed) if self._last else 1.0
        rate = _RATE * min(1.0, (self.step + 1) / _WARMUP) * share
        dice = dice_on(self.model.device, self.step)
        faded = replace(batch, seen=Reader.faded(batch.seen.float(), dice))
        loss, _ = answer_loss(self.model, faded, smoothed=_SMOOTHED)
        value = descend(self._optimizer, rate, loss, self._learning.parameters())
        self._average.update_parameters(self._learning)
        self.step += 1
        return value

    def look(self) -> dict[str, float]:
        """Accuracy by skill at its level; where that is enough, it goes on to fuller sheets."""
        skills = self.accuracies(self.level, _LOOKS)
        if skills["free"] >= _ENOUGH and self.level + 1 < len(LEVELS):
            self.level += 1
            self._batches = None
        return skills

    def accuracies(self, level: int, looks: int) -> dict[str, float]:
        """At one level."""
        with self.averaged() as model:
            return {"level": level, **accuracies(model, self._held_out, self.folder, level, looks)}

    @contextmanager
    def averaged(self) -> Iterator[Any]:
        """The model with the mean of its last weights: what is looked at, and what is kept in the end."""
        newest = {name: value.clone() for name, value in self._learning.state_dict().items()}
        self._learning.load_state_dict(self._average.module.state_dict())
        try:
            yield self.model
        finally:
            self._learning.load_state_dict(newest)

    def write(self, reading: NDArray[np.float32]) -> None:
        """The model with the mean of its last weights to its folder, with a connector that takes features."""
        with self.averaged() as model:
            learnt = model.model.connector.modality_projection
            with torch.no_grad():
                self._shipped.proj.weight.copy_(learnt.behind(torch.from_numpy(reading).to(self.model.device)))
            model.model.connector.modality_projection = self._shipped
            model.save_pretrained(self.folder)
            model.model.connector.modality_projection = learnt

    def _lay_out(self) -> Iterator[Batch]:
        shelf = Shelf(self._films, self.folder, self.step, self.level)
        return iter(DataLoader(shelf, batch_size=None, num_workers=_writers(self.model.device), prefetch_factor=6))


def train(model_folder: Path, banks: Path, run: Run, device: torch.device, scale: float = 1.0, *, last: bool) -> bool:
    """One piece; scale: as in `see.train`. The model's folder then holds what was learnt.

    last: the rate falls to almost nothing. True then.
    """
    training, held_out = (prepare(model_folder, banks, device, scale, held_out=kind) for kind in (False, True))
    learner = Learner(model_folder, training, held_out, device, last=last)
    run.go_on(learner)
    for level in range(learner.level + 1):
        run.log(step=learner.step, **learner.accuracies(level, _LOOKS_AT_THE_END))
    learner.write(load_reading(banks))
    return last


def _writers(device: torch.device) -> int:
    """Processes that write lessons: a GPU learns from them quicker than one writes; on a processor they take turns."""
    return max(1, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 1


# ---------------------------------------------------------------- one step


def answer_loss(model: Any, batch: Batch, *, rough: bool = True, smoothed: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean loss over the tokens of all answers, and whether each of those tokens was right, in reading order.

    rough: in bfloat16, where that matters little. smoothed: share of the truth that is spread over all tokens.
    """
    inner = model.model
    table = inner.text_model.get_input_embeddings()
    with half(batch.ids.device, enabled=rough):
        visual = inner.connector.modality_projection(batch.seen.float())
        embedded = table(batch.ids)
        shown = batch.ids == model.config.image_token_id
        embedded = embedded.masked_scatter(shown[..., None], visual.to(embedded.dtype))
        hidden = inner.text_model(
            inputs_embeds=embedded,
            attention_mask=allowed(batch.segments),
            position_ids=batch.positions,
            use_cache=False,
        ).last_hidden_state
        wanted = batch.answers[:, 1:]
        scores = model.lm_head(hidden[:, :-1][wanted]).float()
    truth = batch.ids[:, 1:][wanted]
    return functional.cross_entropy(scores, truth, label_smoothing=smoothed), scores.detach().argmax(-1) == truth


def allowed(segments: Tensor) -> Tensor:
    """Who may look at whom: earlier tokens of the sheet and of the own question. [n, 1, length, length]."""
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    mine = segments[:, :, None] == segments[:, None, :]
    sheet = (segments == 0)[:, None, :]
    return (causal & (mine | sheet))[:, None]


# ---------------------------------------------------------------- looking


@torch.inference_mode()
def accuracies(model: Any, held_out: Path, folder: Path, level: int, looks: int) -> dict[str, float]:
    """Share of answers that are right to the last token, by skill, on held-out films and sheets of one level.

    free: of all but letters and drills.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    for drilled in (False, True):
        shelf = Shelf(held_out, folder, 7, level, only=True, drilled=float(drilled))
        for batch in islice(shelf, looks):
            _, correct = answer_loss(model, moved(batch, model.device))
            for skill, good in _by_question(batch, correct.cpu()):
                right[skill].append(good)
    free = [good for skill, found in right.items() if skill.split(".")[0] not in {"letter", "drill"} for good in found]
    everything = [*free, *right["letter"]]
    told = {skill: float(np.mean(right[skill])) for skill in sorted(right) if right[skill]}
    return {"all": float(np.mean(everything)), "free": float(np.mean(free)), **told}


def _by_question(batch: Batch, correct: Tensor) -> Iterator[tuple[str, bool]]:
    rows, _ = torch.nonzero(batch.answers[:, 1:], as_tuple=True)
    segments = batch.segments[:, 1:][batch.answers[:, 1:]]
    for row, skills in enumerate(batch.skills):
        for number, skill in enumerate(skills, start=1):
            yield skill, bool(correct[(rows == row) & (segments == number)].all())
