"""Second stage: texts and pictures find each other; the picture half begins as the trained vision encoder.

Its first layers stay as they are, so that their output is computed once; the last one, a new one and the pooling learn:
which colour, shape and place belong together has to be known before all places are pooled into one vector.

Each text says something of a picture that is true or not: every pair of a batch is one example (the sigmoid loss of
SigLIP, Zhai et al. 2023, with the truth read off the script instead of "belongs to").
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForImageTextToText, AutoTokenizer, SiglipConfig, SiglipModel

from reasoning.standin_text import save_tokenizer, write_json
from training.bank import films_of
from training.blank import SIDE, VISION
from training.films import Pictures
from training.run import Run
from training.see import normalised
from training.shelf import load_stories, prepare
from training.words import END, SPECIAL, train_tokenizer
from training.world import PLACES, Script, at_place

BATCH: Final = 128
STEPS: Final = 4000
_RATE: Final = 1e-3
_WARMUP: Final = 200
_LENGTH: Final = 48
_LAYERS: Final = 5
_FROZEN: Final = 3
_LOOK_EVERY_S: Final = 60.0
_TEXT: Final = {"hidden_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 480}
_STARTS: Final = {"scale": 2.3, "bias": -4.0}
_HALF: Final = [0.5, 0.5, 0.5]
_WHOLE: Final = 0.6
_OF_A_FILM: Final = 8


@dataclass(frozen=True)
class Content:
    """What is wholly in view: (colour, shape, place) of each thing, row by row; the sign's text and place."""

    things: tuple[tuple[str, str, str], ...]
    sign: tuple[str, str] | None


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


def train(model: Path, folder: Path, banks: Path, run: Run, scale: float = 1.0) -> bool:
    """One piece; scale: as in `see.train`. True when the stage is over."""
    shelf, held_out = (_Frames(model, banks, scale, held_out=kind) for kind in (False, True))
    steps = round(STEPS * scale)
    encoder: Any = AutoModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    seer = encoder.vision_model
    last = [*seer.encoder.layers[_FROZEN:], seer.post_layernorm, seer.head]
    learning = nn.ModuleList([*last, encoder.text_model])
    scoring = [encoder.logit_scale, encoder.logit_bias]
    optimizer = torch.optim.AdamW(
        [*learning.parameters(), *scoring], lr=_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    step = 0
    if (state := run.load()) is not None:
        learning.load_state_dict(state["learning"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
        with torch.no_grad():
            for parameter, value in zip(scoring, state["scale"], strict=True):
                parameter.copy_(value)

    def save() -> None:
        kept = {"learning": learning.state_dict(), "scale": [one.detach() for one in scoring]}
        run.save({**kept, "optimizer": optimizer.state_dict(), "step": step})

    looked, losses = time.monotonic(), []
    while step < steps and not run.out_of_time:
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / _WARMUP) * max(0.02, 1 - step / steps)
        dice = np.random.default_rng([step, 60])
        rows = shelf.draw(dice, BATCH)
        texts, truth = sayings(dice, [shelf.contents[row] for row in rows])
        with torch.autocast("cpu", torch.bfloat16):
            pictures = functional.normalize(_look(encoder, shelf.features(rows)).float(), dim=-1)
            words = functional.normalize(_read(encoder, tokenizer, texts).float(), dim=-1)
        scores = pictures @ words.T * encoder.logit_scale.exp() + encoder.logit_bias
        loss = sigmoid_loss(scores, truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        step += 1
        if time.monotonic() - looked > _LOOK_EVERY_S:
            run.log(step=step, loss=float(np.mean(losses)), **recalls(encoder, tokenizer, held_out))
            looked, losses = time.monotonic(), []
        if run.due:
            save()
    save()
    run.log(step=step, **recalls(encoder, tokenizer, held_out))
    if step >= steps:
        encoder.save_pretrained(folder)
    return step >= steps


def sigmoid_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """True pairs are rare: they weigh as much as all false ones of their text."""
    each = functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    true = (each * truth).sum(0) / truth.sum(0).clamp(min=1)
    false = (each * (1 - truth)).sum(0) / (1 - truth).sum(0).clamp(min=1)
    hard = functional.softmax(scores.detach() - 1e4 * truth, dim=0)
    # Those that look most alike count most.
    return (true + 0.5 * false + 0.5 * (each * (1 - truth) * hard).sum(0)).mean()


def _look(encoder: Any, hidden: Tensor) -> Tensor:
    """The vectors of pictures, from what the frozen layers made of them: [n, 81, hidden]."""
    seer = encoder.vision_model
    for layer in seer.encoder.layers[_FROZEN:]:
        hidden = layer(hidden, attention_mask=None)
    pooled: Tensor = seer.head(seer.post_layernorm(hidden))
    return pooled


def _read(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    found = tokenizer(list(texts), padding="max_length", truncation=True, max_length=_LENGTH, return_tensors="pt")
    pooled: Tensor = encoder.text_model(input_ids=found["input_ids"]).pooler_output
    return pooled


# ---------------------------------------------------------------- what is said


def content_of(script: Script, at_us: int) -> Content:
    """What is wholly in view at a time."""
    scene = script.scene(at_us)
    found = []
    for visit in scene.present(at_us):
        x, y = visit.leg(at_us).position(at_us, 1 / 6, 1 / 6)
        if visit.whole_us <= at_us <= visit.leaving_us:
            place = min(2, max(0, int(y * 3))) * 3 + min(2, max(0, int(x * 3)))
            found.append((place, visit.thing.colour, visit.thing.shape))
    sign = scene.sign(at_us)
    things = tuple((colour, shape, PLACES[place]) for place, colour, shape in sorted(found))
    return Content(things, (sign.text, PLACES[sign.place]) if sign is not None else None)


def caption(content: Content) -> str:
    """All of it in words, as the world's own captions say it."""
    parts = [f"a {colour} {shape} {at_place(place)}" for colour, shape, place in content.things]
    if content.sign is not None:
        parts.append(f"a sign that says {content.sign[0]} {at_place(content.sign[1])}")
    return ", ".join(parts) or "nothing"


def sayings(dice: np.random.Generator, contents: Sequence[Content]) -> tuple[list[str], Tensor]:
    """A text for each picture, true of it; and of which of the others it is true as well: [pictures, texts]."""
    texts, truth = [], torch.zeros(len(contents), len(contents))
    for n, content in enumerate(contents):
        text, holds = _saying(dice, content)
        texts.append(text)
        truth[:, n] = torch.tensor([float(holds(other)) for other in contents])
    return texts, truth


@dataclass(frozen=True)
class Saying:
    """What texts may say of a picture: one of `forms`, filled with `words`; and of which pictures that is true."""

    forms: tuple[str, ...]
    words: str
    holds: Callable[[Content], bool]


def _saying(dice: np.random.Generator, content: Content) -> tuple[str, Callable[[Content], bool]]:
    options = [_whole(content)]
    options += [of(*thing) for thing in content.things for of in (_thing, _thing_there, _shape, _colour)]
    if content.sign is not None:
        options += [_sign(content.sign[0])] * 2
    # The whole picture is what tells frames of one film apart.
    chosen = options[0] if dice.random() < _WHOLE else options[int(dice.integers(len(options)))]
    form = chosen.forms[int(dice.integers(len(chosen.forms)))]
    return form.format(chosen.words), chosen.holds


def _whole(content: Content) -> Saying:
    return Saying(("{}",), caption(content), lambda one: (one.things, one.sign) == (content.things, content.sign))


def _thing(colour: str, shape: str, _: str) -> Saying:
    def holds(one: Content) -> bool:
        return any(thing[:2] == (colour, shape) for thing in one.things)

    return Saying(_OF_LOOKS, f"{colour} {shape}", holds)


def _thing_there(colour: str, shape: str, place: str) -> Saying:
    return Saying(("a {}",), f"{colour} {shape} {at_place(place)}", lambda one: (colour, shape, place) in one.things)


def _shape(_: str, shape: str, __: str) -> Saying:
    forms = ("What colour was the {}?", "a {}", "the {}")
    return Saying(forms, shape, lambda one: any(thing[1] == shape for thing in one.things))


def _colour(colour: str, _: str, __: str) -> Saying:
    forms = ("What shape was the {} object?", "something {}", "the {} object")
    return Saying(forms, colour, lambda one: any(thing[0] == colour for thing in one.things))


def _sign(text: str) -> Saying:
    forms = ("a sign that says {}", "the sign {}", "When did the sign say {}?", "{}")
    return Saying(forms, text, lambda one: one.sign is not None and one.sign[0] == text)


_OF_LOOKS: Final = (
    "a {}",
    "the {}",
    "Was there ever a {}?",
    "Where was the {} last at rest?",
    "Where was the {}?",
    "When did the {} first appear?",
    "Is there a {}?",
)

# ---------------------------------------------------------------- frames


class _Frames:
    """Frames as the frozen layers of the vision encoder see them, and what is in them."""

    def __init__(self, model: Path, banks: Path, scale: float, *, held_out: bool) -> None:
        folder = prepare(model, banks, scale, held_out=held_out)
        stories = load_stories(folder)
        file = folder / "frozen.npy"
        if not file.is_file():
            films = films_of(folder.with_name(folder.name.removesuffix("-features")))
            _freeze(model, [film.pictures for film in films], file)
        self._features = np.load(file, mmap_mode="r")
        found = [content_of(story.script, at_us) for story in stories for at_us in story.times]
        self.contents = dict(enumerate(found))
        self.rows = list(self.contents)
        self._films = np.cumsum([0, *(len(story.times) for story in stories)])

    def draw(self, dice: np.random.Generator, count: int) -> list[int]:
        """Some frames of each of some films: those that are most alike have to be told apart."""
        films = dice.permutation(len(self._films) - 1)[: count // _OF_A_FILM]
        spans = [np.arange(self._films[film], self._films[film + 1]) for film in films]
        return [int(row) for span in spans for row in dice.permutation(span)[:_OF_A_FILM]]

    def features(self, rows: Sequence[int]) -> Tensor:
        """[n, 81, hidden]."""
        return torch.from_numpy(np.stack([self._features[row] for row in rows])).float()

    def distinct(self, count: int) -> Iterator[int]:
        """So many frames that no other frame of them is like."""
        seen: set[Content] = set()
        for row in self.rows:
            if self.contents[row] not in seen and (self.contents[row].things or self.contents[row].sign):
                seen.add(self.contents[row])
                yield row
                if len(seen) == count:
                    return


@torch.inference_mode()
def _freeze(model: Path, pictures: Sequence[Pictures], file: Path) -> None:
    """What the first layers make of all pictures, on disk."""
    seer: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32)
    found = []
    for some in pictures:
        with torch.autocast("cpu", torch.bfloat16):
            seen = seer.model.vision_model(
                pixel_values=normalised(torch.from_numpy(some)), output_hidden_states=True
            ).hidden_states[_FROZEN]
        found.append(seen.half().numpy())
    fresh = file.with_suffix(".new.npy")
    np.save(fresh, np.concatenate(found))
    fresh.rename(file)


@torch.inference_mode()
def recalls(encoder: Any, tokenizer: Any, frames: _Frames) -> dict[str, float]:
    """How often a caption's picture is the first of 100, and among the first five of 1000."""
    rows = list(frames.distinct(1000))
    with torch.autocast("cpu", torch.bfloat16):
        pictures = _look(encoder, frames.features(rows)).float()
        texts = _read(encoder, tokenizer, [caption(frames.contents[row]) for row in rows]).float()
    scores = functional.normalize(texts, dim=-1) @ functional.normalize(pictures, dim=-1).T
    blocks = [scores[n : n + 100, n : n + 100] for n in range(0, len(rows) - 99, 100)]
    first = [block.argmax(1) == torch.arange(100) for block in blocks]
    five = scores.topk(5).indices == torch.arange(len(rows))[:, None]
    return {"recall1_100": float(torch.cat(first).float().mean()), "recall5_1000": float(five.any(1).float().mean())}
