"""Last stage: the language model learns to answer, from the simplest sheets to those that reasoning sends.

It goes on to fuller sheets when held-out questions about the simpler ones are answered, and keeps mixing those in.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from transformers import AutoModelForImageTextToText, AutoTokenizer

from training.bank import films_of
from training.labels import EMPTY, FOREIGN, SIGN, UNSURE, labels_of
from training.lessons import LEVELS
from training.run import Run
from training.shelf import Batch, Shelf, features_of, prepare
from training.world import COLOURS, PLACES, SHAPES

BATCHES: Final = (16, 16, 12, 8)
"""Lessons in a step, by level."""
_RATE: Final = 1.5e-3
_CONNECTOR: Final = 0.3
"""Share of the rate for the connector: each of its outputs sums so many inputs that at the full rate visual tokens grow
a hundred times larger than words, and no layer can add to them what it knows of their frame."""
_WARMUP: Final = 200
_ENOUGH: Final = 0.9
"""Share of held-out questions that must be right before sheets become fuller."""
_LOOK_EVERY_S: Final = 90.0
_LOOKS: Final = 6
_LAST_RATE: Final = 0.03
_AVERAGED: Final = 0.99
"""How much of the mean of the weights stays from step to step."""
_RIDGE: Final = 10.0


class Learner:
    """The model with all that a piece hands on to the next: its weights, their mean, the optimizer, how far it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        connector, text = self.model.model.connector, self.model.model.text_model
        self._learning = nn.ModuleList([connector, text])
        self._average = AveragedModel(
            self._learning,
            multi_avg_fn=get_ema_multi_avg_fn(_AVERAGED),  # type: ignore[no-untyped-call]
        )
        groups = [
            {"params": connector.parameters(), "weight_decay": 0.0},
            {"params": text.parameters(), "weight_decay": 0.02},
        ]
        self._optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self.step = self.level = 0

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

    def learn(self, batch: Batch, share: float) -> float:
        """One step at a share of the full rate; the loss."""
        rate = _RATE * min(1.0, (self.step + 1) / _WARMUP) * share
        for group, pace in zip(self._optimizer.param_groups, (_CONNECTOR, 1.0), strict=True):
            group["lr"] = rate * pace
        loss, _ = answer_loss(self.model, batch)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._learning.parameters(), 1.0)
        self._optimizer.step()
        self._average.update_parameters(self._learning)
        self.step += 1
        return loss.item()

    @contextmanager
    def averaged(self) -> Iterator[Any]:
        """The model with the mean of its last weights: what is looked at, and what is kept in the end."""
        newest = {name: value.clone() for name, value in self._learning.state_dict().items()}
        self._learning.load_state_dict(self._average.module.state_dict())
        try:
            yield self.model
        finally:
            self._learning.load_state_dict(newest)


def train(model_folder: Path, banks: Path, run: Run, minutes: float, scale: float = 1.0, *, last: bool) -> bool:
    """One piece of so many minutes; scale: as in `see.train`. The model's folder then holds what was learnt.

    last: the rate falls to almost nothing. True then.
    """
    training, held_out = (prepare(model_folder, banks, scale, held_out=kind) for kind in (False, True))
    learner = Learner(model_folder)
    if (state := run.load()) is not None:
        learner.restore(state)
    else:
        start_connector(learner.model, model_folder, banks)
    began = looked = time.monotonic()
    losses: list[float] = []
    asked = 0
    batches = _batches(training, learner)
    while not run.out_of_time:
        passed = (time.monotonic() - began) / (60 * minutes)
        batch = next(batches)
        losses.append(learner.learn(batch, max(_LAST_RATE, 1 - passed) if last else 1.0))
        asked += sum(map(len, batch.skills))
        if time.monotonic() - looked > _LOOK_EVERY_S:
            if _look(run, learner, held_out, asked=asked, loss=float(np.mean(losses))):
                batches = _batches(training, learner)
            looked, losses = time.monotonic(), []
        if run.due:
            run.save(learner.state())
    run.save(learner.state())
    _finish(run, learner, held_out)
    return last


def _look(run: Run, learner: Learner, held_out: Path, **figures: float) -> bool:
    """Write down how far it is; whether it goes on to fuller sheets."""
    with learner.averaged() as model:
        skills = accuracies(model, held_out, learner.folder, learner.level)
    run.log(step=learner.step, level=learner.level, **figures, **skills)
    ready = skills["all"] >= _ENOUGH and learner.level + 1 < len(LEVELS)
    learner.level += ready
    return ready


def _finish(run: Run, learner: Learner, held_out: Path) -> None:
    """Look at every level, and write the model down."""
    with learner.averaged() as model:
        for level in range(learner.level + 1):
            skills = accuracies(model, held_out, learner.folder, level, looks=3 * _LOOKS)
            run.log(step=learner.step, level=level, **skills)
        model.save_pretrained(learner.folder)


def _batches(films: Path, learner: Learner) -> Iterator[Batch]:
    shelf = Shelf(films, learner.folder, learner.step, learner.level, BATCHES[learner.level])
    return iter(DataLoader(shelf, batch_size=None, num_workers=1, prefetch_factor=6))


# ---------------------------------------------------------------- one step


def answer_loss(model: Any, batch: Batch, *, half: bool = True) -> tuple[Tensor, Tensor]:
    """Mean loss over the tokens of all answers, and whether each of those tokens was right, in reading order.

    half: in bfloat16, where that matters little.
    """
    inner = model.model
    table = inner.text_model.get_input_embeddings()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        visual = inner.connector.modality_projection(batch.features.float())
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
    return functional.cross_entropy(scores, truth), scores.detach().argmax(-1) == truth


def allowed(segments: Tensor) -> Tensor:
    """Who may look at whom: earlier tokens of the sheet and of the own question. [n, 1, length, length]."""
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mine = segments[:, :, None] == segments[:, None, :]
    sheet = (segments == 0)[:, None, :]
    return (causal & (mine | sheet))[:, None]


# ---------------------------------------------------------------- looking


@torch.inference_mode()
def accuracies(model: Any, held_out: Path, folder: Path, level: int, looks: int = _LOOKS) -> dict[str, float]:
    """Share of answers that are right to the last token, by skill, on held-out films and sheets of one level."""
    right: dict[str, list[bool]] = defaultdict(list)
    for batch in islice(Shelf(held_out, folder, 7, level, BATCHES[level], only=True), looks):
        _, correct = answer_loss(model, batch)
        for skill, good in _by_question(batch, correct):
            right[skill].append(good)
    everything = [good for found in right.values() for good in found]
    return {"all": float(np.mean(everything)), **{skill: float(np.mean(right[skill])) for skill in sorted(right)}}


def _by_question(batch: Batch, correct: Tensor) -> Iterator[tuple[str, bool]]:
    rows, _ = torch.nonzero(batch.answers[:, 1:], as_tuple=True)
    segments = batch.segments[:, 1:][batch.answers[:, 1:]]
    for row, skills in enumerate(batch.skills):
        for number, skill in enumerate(skills, start=1):
            yield skill, bool(correct[(rows == row) & (segments == number)].all())


# ---------------------------------------------------------------- the connector's start


@torch.no_grad()
def start_connector(model: Any, folder: Path, banks: Path) -> None:
    """Least squares from the features of a place to the words for what it holds: visual tokens begin as words."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    table = model.model.text_model.get_input_embeddings().weight
    dice = torch.Generator().manual_seed(1)
    own = torch.randn(31, table.shape[1], generator=dice) * table.std()
    word = {text: table[tokenizer.encode(f" {text}")[0]] for text in (*COLOURS, *SHAPES, "sign", "nothing")}
    places = [sum(table[token] for token in tokenizer.encode(f" {place}")) for place in PLACES]
    features, targets = [], []
    for film in islice(films_of(banks / "glimpses"), 150):
        seen = torch.from_numpy(features_of(model, film.pictures[::3])).float()
        for at, row in zip(film.times[::3], seen, strict=True):
            labels = labels_of(film.script, at, film.width, film.height)
            for place in range(len(PLACES)):
                kind = int(labels.kinds[place])
                if kind in (UNSURE, FOREIGN):
                    continue
                target = places[place]
                if kind == EMPTY:
                    target = target + word["nothing"]
                elif kind == SIGN:
                    target = target + word["sign"]
                    target = target + sum(own[10 * n + int(digit)] for n, digit in enumerate(labels.digits[place]))
                else:
                    target = target + word[SHAPES[kind - 1]] + word[COLOURS[int(labels.colours[place])]]
                features.append(row[place])
                targets.append(target)
    x, y = torch.stack(features), torch.stack(targets)
    weight = torch.linalg.solve(x.T @ x + _RIDGE * torch.eye(x.shape[1]), x.T @ y)
    model.model.connector.modality_projection.proj.weight.copy_(weight.T)
