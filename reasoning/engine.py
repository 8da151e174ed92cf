"""The decoding loop: a prompt of token ids and visual tokens in; one token a step out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from perception.checkpoint import checkpoint_hash, load_config, load_image_processor, load_model, load_tokenizer, place
from perception.config import ModelConfig
from perception.vision import CheckpointVision, to_tensor
from perception.window import VisualTokens
from reasoning.families.registry import family_of


@dataclass(frozen=True)
class Sampling:
    """temperature 0: greedy; else drawn by `seed`."""

    temperature: float
    seed: int


@dataclass(frozen=True)
class Prompt:
    """ids: the whole prompt. frames: the visual tokens of its frames, in order of their places."""

    ids: list[int]
    frames: list[VisualTokens]


class _EncoderOutput(BaseModelOutputWithPooling):
    """Pre-encoded images as the models' forward takes them, deepstack features included."""

    deepstack_features: Any = None


class Generation:
    """One answer in the making: prefill by the first `step`, one token with each."""

    def __init__(self, engine: "LocalEngine", prompt: Prompt, sampling: Sampling) -> None:
        self._engine, self._prompt, self._sampling = engine, prompt, sampling
        self._cache: Any = None
        self._length = len(prompt.ids)
        self._last = -1
        self._random = torch.Generator().manual_seed(sampling.seed)
        ids = torch.tensor([prompt.ids], device=engine.device)
        self._positions = engine.family.positions(engine.model, ids, prompt.frames)

    def step(self) -> int:
        """The next token id; the end token where the answer ends."""
        with torch.inference_mode():
            logits = self._prefill() if self._cache is None else self._decode()
        self._last = self._choose(logits)
        return self._last

    def _prefill(self) -> torch.Tensor:
        engine = self._engine
        self._cache = DynamicCache(config=engine.model.config.get_text_config())
        ids = torch.tensor([self._prompt.ids], device=engine.device)
        images = engine.images(self._prompt.frames)
        out = engine.model(
            input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1,
            **({"mm_encoder_outputs": {"image": images}} if images is not None else {}), **self._positions.prefill(),
        )  # fmt: skip
        logits: torch.Tensor = out.logits[0, -1]
        return logits

    def _decode(self) -> torch.Tensor:
        ids = torch.tensor([[self._last]], device=self._engine.device)
        places = self._positions.next(self._length)
        out = self._engine.model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1, **places)
        self._length += 1
        logits: torch.Tensor = out.logits[0, -1]
        return logits

    def _choose(self, logits: torch.Tensor) -> int:
        if self._sampling.temperature <= 0:
            return int(logits.argmax())
        weights = torch.softmax(logits.float().cpu() / self._sampling.temperature, -1)
        return int(torch.multinomial(weights, 1, generator=self._random))


class LocalEngine:
    """A checkpoint on this machine: encodes keyframes, and decodes answers token by token."""

    def __init__(self, config: ModelConfig) -> None:
        """Load it. Raises StartRefused."""
        what = "the model"
        settings = load_config(config, what)
        self.family = family_of(settings.model_type)
        placement = place(config)
        self.model: Any = load_model(AutoModelForImageTextToText, config, settings, placement, what)
        self.tokenizer: Any = load_tokenizer(config, what)
        self.device = placement.device
        self.identity = checkpoint_hash(Path(config.folder))
        self._vision = CheckpointVision(self.model, load_image_processor(config, what), placement, config.frame_tokens)
        self.end_tokens = _end_tokens(self.model, self.tokenizer)

    @property
    def encode(self) -> Callable[[list[Any]], list[VisualTokens]]:
        """Visual tokens of pictures, as perception makes them."""
        return self._vision.encode

    def frame_ids(self, count: int) -> list[int]:
        """Token ids that stand for a frame of `count` visual tokens."""
        return self.family.frame_ids(self.tokenizer, self.model.config, count)

    def begin(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Start an answer; nothing is computed before its first step."""
        return Generation(self, prompt, sampling)

    def images(self, frames: list[VisualTokens]) -> _EncoderOutput | None:
        """Frames as the model's forward takes them; None where there are none."""
        if not frames:
            return None
        tokens = [to_tensor(frame.tokens).to(self.device) for frame in frames]
        layers = len(frames[0].deepstack)
        deepstack = [[to_tensor(frame.deepstack[n]).to(self.device) for frame in frames] for n in range(layers)]
        output = _EncoderOutput(pooler_output=tokens)  # type: ignore[arg-type]
        output.deepstack_features = deepstack
        return output


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    given = model.generation_config.eos_token_id
    ends = given if isinstance(given, list) else [given]
    return frozenset(one for one in (*ends, tokenizer.eos_token_id) if one is not None)


class TextStream:
    """Token ids in, text out, as soon as it is certain: never half a character, and all deltas joined are the text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = ""

    def add(self, token: int) -> str:
        """What became certain with this token."""
        self._ids.append(token)
        text = self._text()
        if text.endswith("\ufffd") or not text.startswith(self._given):
            return ""
        delta, self._given = text[len(self._given) :], text
        return delta

    def end(self) -> str:
        """What is left at the end."""
        text = self._text()
        delta = text[len(self._given) :] if text.startswith(self._given) else ""
        self._given += delta
        return delta

    @property
    def text(self) -> str:
        """All that was given out."""
        return self._given

    def _text(self) -> str:
        return str(self._tokenizer.decode(self._ids, skip_special_tokens=True))
