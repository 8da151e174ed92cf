"""Second stage: texts and pictures find each other; the picture half begins as the trained vision encoder.

All of it learns: for the encoder's own task a patch need not know its place, and by its third layer little of that is
left. Which colour, shape and place belong together has to be known before all places are pooled into one vector.

Each text says something of a picture that is true or not: every pair of a batch is one example (the sigmoid loss of
SigLIP, Zhai et al. 2023, with the truth read off the script instead of "belongs to"). Both halves are led
by `codes` besides.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForImageTextToText, AutoTokenizer, SiglipConfig, SiglipModel

from reasoning.random_text import save_tokenizer, write_json
from training.bank import films_of
from training.blank import PATCH, SHUFFLE, SIDE, VISION
from training.codes import codes
from training.device import dice_on, half, loaded
from training.films import Pictures
from training.run import Run, descend
from training.sayings import Content, Fact, content_of, sayings
from training.see import disturbed, normalised
from training.shelf import Story, load_stories, prepare
from training.words import END, SPECIAL, train_tokenizer
from training.world import PLACES, captions

BATCH: Final = 128
STEPS: Final = 5000
_RATE: Final = 1e-3
_WARMUP: Final = 200
_LENGTH: Final = 48
_LAYERS: Final = 5
_TEXT: Final = {"hidden_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 480}
_STARTS: Final = {"scale": 2.3, "bias": -4.0}
_HALF: Final = [0.5, 0.5, 0.5]
_LED: Final = 2.0
"""Weight of the codes beside the contrast."""
_OF_A_FILM: Final = 4


def make_blank_encoder(folder: Path, model: Path, seed: int = 0) -> Path:
    """A dual encoder with the vision encoder of `model` and nothing learnt besides; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer((END, *(token for token in SPECIAL if token != END)))
    text = {
        **_TEXT,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": _LENGTH,
        "projection_size": VISION["hidden_size"],
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    torch.manual_seed(seed)
    vision = {**VISION, "num_hidden_layers": _LAYERS}
    encoder = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    seer: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32)
    learnt = seer.model.vision_model.state_dict()
    left = encoder.vision_model.load_state_dict(learnt, strict=False)
    new = ("head.", f"encoder.layers.{_LAYERS - 1}.")
    if left.unexpected_keys or any(not key.startswith(new) for key in left.missing_keys):
        raise ValueError(f"the vision encoder does not fit: {left}")
    with torch.no_grad():
        encoder.logit_scale.fill_(_STARTS["scale"])
        encoder.logit_bias.fill_(_STARTS["bias"])
    encoder.save_pretrained(folder)
    save_tokenizer(folder, tokenizer, END, None, _LENGTH)
    write_json(
        folder,
        "preprocessor_config.json",
        {
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "SiglipProcessor",
            "size": {"height": SIDE, "width": SIDE},
            "resample": 1,
            "image_mean": _HALF,
            "image_std": _HALF,
        },
    )
    return folder


class Learner:
    """The halves with all that a piece hands on to the next."""

    def __init__(self, folder: Path, shelf: "Frames", held_out: "Frames", steps: int, device: torch.device) -> None:
        self._shelf, self._held_out, self._steps = shelf, held_out, steps
        self.encoder = loaded(AutoModel, folder, device)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._learning = nn.ModuleList([self.encoder.vision_model, self.encoder.text_model])
        self._scoring = [self.encoder.logit_scale, self.encoder.logit_bias]
        parameters = [*self._learning.parameters(), *self._scoring]
        self._optimizer = torch.optim.AdamW(parameters, lr=_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
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
        with torch.no_grad():
            for parameter, value in zip(self._scoring, state["scale"], strict=True):
                parameter.copy_(value)

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        kept = {"learning": self._learning.state_dict(), "scale": [one.detach() for one in self._scoring]}
        return {**kept, "optimizer": self._optimizer.state_dict(), "step": self.step}

    def learn(self, _: float) -> float:
        """One step; the loss."""
        rate = _RATE * min(1.0, (self.step + 1) / _WARMUP) * max(0.02, 1 - self.step / self._steps)
        loss = self._loss(np.random.default_rng([self.step, 60]))
        value = descend(self._optimizer, rate, loss, self._learning.parameters())
        self.step += 1
        return value

    def look(self) -> dict[str, float]:
        """How often texts find their pictures."""
        return recalls(self.encoder, self._tokenizer, self._held_out)

    def _loss(self, dice: np.random.Generator) -> Tensor:
        rows = self._shelf.draw(dice, BATCH)
        contents = [self._shelf.contents[row] for row in rows]
        said, truth = sayings(dice, contents)
        texts = [one.text for one in said]
        pixels = disturbed(self._shelf.pixels(rows, self.encoder.device), dice_on(self.encoder.device, self.step))
        with half(self.encoder.device):
            tokens = _tokens(self.encoder, pixels)
            places = _pooled(self.encoder, _place_by_place(tokens, contents))
            pictures, words = _pooled(self.encoder, tokens), _read(self.encoder, self._tokenizer, texts)
        pictures, places, words = (functional.normalize(one.float(), dim=-1) for one in (pictures, places, words))
        scores = pictures @ words.T * self.encoder.logit_scale.exp() + self.encoder.logit_bias
        apart = (
            _apart(pictures, [one.facts() for one in contents])
            + _apart(places, [here for one in contents for here in one.by_place().values()])
            + _apart(words, [one.facts for one in said])
        )
        return sigmoid_loss(scores, truth.to(self.encoder.device)) + _LED * apart


def train(model: Path, folder: Path, banks: Path, run: Run, device: torch.device, scale: float = 1.0) -> bool:
    """One piece; scale: as in `see.train`. True when the stage is over."""
    shelf, held_out = (Frames(prepare(model, banks, device, scale, held_out=kind)) for kind in (False, True))
    learner = Learner(folder, shelf, held_out, round(STEPS * scale), device)
    run.go_on(learner)
    run.log(step=learner.step, **learner.look())
    if learner.over:
        learner.encoder.save_pretrained(folder)
    return learner.over


def _apart(found: Tensor, facts: Sequence[Sequence[Fact]]) -> Tensor:
    """How far unit vectors are from the codes of these facts, 0..2."""
    return (1 - (found * codes(facts, found.shape[-1]).to(found.device)).sum(-1)).mean()


def sigmoid_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """True pairs are rare: they weigh as much as all false ones of their text."""
    each = functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    true = (each * truth).sum(0) / truth.sum(0).clamp(min=1)
    false = (each * (1 - truth)).sum(0) / (1 - truth).sum(0).clamp(min=1)
    hard = functional.softmax(scores.detach() - 1e4 * truth, dim=0)
    # Those that look most alike count most.
    return (true + 0.5 * false + 0.5 * (each * (1 - truth) * hard).sum(0)).mean()


def _look(encoder: Any, pixels: Tensor) -> Tensor:
    """The vectors of pictures [n, 3, side, side]."""
    return _pooled(encoder, _tokens(encoder, pixels))


def _tokens(encoder: Any, pixels: Tensor) -> Tensor:
    """[n, 81, hidden]."""
    seer = encoder.vision_model
    hidden = seer.embeddings(pixels)
    for layer in seer.encoder.layers:
        hidden = layer(hidden, attention_mask=None)
    tokens: Tensor = seer.post_layernorm(hidden)
    return tokens


def _pooled(encoder: Any, tokens: Tensor) -> Tensor:
    pooled: Tensor = encoder.vision_model.head(tokens)
    return pooled


def _place_by_place(tokens: Tensor, contents: Sequence[Content]) -> Tensor:
    """The tokens of each place that holds something, as pictures of their own: [places, 9, hidden].

    A picture's vector is pooled from what its places say: each of them is taught apart.
    """
    columns = SIDE // PATCH // SHUFFLE
    blocks = tokens.reshape(len(tokens), columns, SHUFFLE, columns, SHUFFLE, -1).transpose(2, 3)
    blocks = blocks.reshape(len(tokens), columns**2, SHUFFLE**2, -1)
    held = [(n, PLACES.index(place)) for n, content in enumerate(contents) for place in content.by_place()]
    rows, places = zip(*held, strict=True)
    found: Tensor = blocks[list(rows), list(places)]
    return found


def _read(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    found = tokenizer(list(texts), padding="max_length", truncation=True, max_length=_LENGTH, return_tensors="pt")
    ids = found["input_ids"].to(encoder.device)
    pooled: Tensor = encoder.text_model(input_ids=ids).pooler_output
    return pooled


# ---------------------------------------------------------------- frames


class Frames:
    """Frames and what is in them."""

    def __init__(self, folder: Path) -> None:
        """folder: what `prepare` gives."""
        stories = load_stories(folder)
        file = folder / "pictures.npy"
        if not file.is_file():
            films = films_of(folder.with_name(folder.name.removesuffix("-features")))
            _stack([film.pictures for film in films], file)
        self._pictures: Pictures = np.load(file, mmap_mode="r")
        self.contents = [content_of(story.script, at_us) for story in stories for at_us in story.times]
        self._films = np.cumsum([0, *(len(story.times) for story in stories)])
        self.at_rest = dict(_at_rest(stories))
        """Captions under which all is at rest, each with one frame of its stretch."""

    def draw(self, dice: np.random.Generator, count: int) -> list[int]:
        """Some frames of each of some films: those that are most alike have to be told apart."""
        films = dice.permutation(len(self._films) - 1)[: count // _OF_A_FILM]
        spans = [np.arange(self._films[film], self._films[film + 1]) for film in films]
        return [int(row) for span in spans for row in dice.permutation(span)[:_OF_A_FILM]]

    def pixels(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """[n, 3, side, side], as a model takes them."""
        return normalised(torch.from_numpy(np.stack([self._pictures[row] for row in rows])).to(device))


def _at_rest(stories: Sequence[Story]) -> Iterator[tuple[str, int]]:
    """The last frame of each stretch whose caption says all that is to be seen."""
    first = 0
    for story in stories:
        for told in captions(story.script):
            inside = [n for n, at_us in enumerate(story.times) if told.start_us <= at_us < told.end_us]
            if inside and "moving" not in told.text and told.text != "nothing.":
                yield told.text, first + inside[-1]
        first += len(story.times)


def _stack(pictures: Sequence[Pictures], file: Path) -> None:
    """All pictures in one file, of which a batch reads its own rows."""
    fresh = file.with_suffix(".new.npy")
    np.save(fresh, np.concatenate(pictures))
    fresh.rename(file)


@torch.inference_mode()
def recalls(encoder: Any, tokenizer: Any, frames: Frames) -> dict[str, float]:
    """How often a caption's picture is the first of 100, and among the first five of (up to) 1000."""
    texts_of, rows = list(frames.at_rest)[:1000], list(frames.at_rest.values())[:1000]
    with half(encoder.device):
        parts = [_look(encoder, frames.pixels(rows[n : n + BATCH], encoder.device)) for n in range(0, len(rows), BATCH)]
        pictures = torch.cat(parts).float()
        texts = _read(encoder, tokenizer, texts_of).float()
    scores = (functional.normalize(texts, dim=-1) @ functional.normalize(pictures, dim=-1).T).cpu()
    blocks = [scores[n : n + 100, n : n + 100] for n in range(0, max(1, len(rows) - 99), 100)]
    first = [block.argmax(1) == torch.arange(len(block)) for block in blocks]
    five = scores.topk(5).indices == torch.arange(len(rows))[:, None]
    return {"recall1_100": float(torch.cat(first).float().mean()), "recall5_1000": float(five.any(1).float().mean())}
