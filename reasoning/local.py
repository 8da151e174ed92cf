"""The engine of a checkpoint on this machine: encodes keyframes, reads prompts in chunks, decodes token by token."""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from transformers import AutoModelForImageTextToText

from memory.messages import Evidence
from perception.checkpoint import (
    checkpoint_hash,
    load_config,
    load_image_processor,
    load_model,
    load_tokenizer,
    place,
)
from perception.config import ModelConfig
from perception.encoders import VisionHalf
from perception.messages import Fault
from perception.vision import CheckpointVision, decode_picture
from perception.window import VisualTokens
from reasoning.decoding import Decoding
from reasoning.engine import Delta, EngineOutput, Failed, Finished, Request, Started
from reasoning.evidence import EvidenceCache
from reasoning.families.common import Family
from reasoning.families.registry import family_of
from reasoning.prompt import Picture, Prompt
from reasoning.render import Renderer
from reasoning.text import TextStream

log = logging.getLogger(__name__)

_STEP_S: Final = 1.3
"""What reading a chunk may take: small chunks cost throughput, long steps delay a cancellation and the heartbeat."""
_CHUNKS: Final = (32, 4096)
_PROBE: Final = 128
_LONG_PROBE: Final = 512
_TOO_LONG: Final = Fault("too_large", "the question does not fit the model's context: ask a shorter one", "question")
_BROKEN: Final = Fault("model_unavailable", "the model failed on this question: ask again, or ask for less")


@dataclass
class _Running:
    """A request under way: frames are encoded, then the prompt is read, then tokens come."""

    request: Request
    prompt: Prompt
    waiting: list[Picture] | None = None
    frames: list[VisualTokens] = field(default_factory=list)
    decoding: Decoding | None = None
    text: TextStream | None = None
    most: int = 0
    tokens: list[int] = field(default_factory=list)


class LocalEngine:
    """Implements `Engine`, one request after the other."""

    def __init__(
        self, family: Family, renderer: Renderer, vision: VisionHalf, cache: EvidenceCache, chunk: int | None = None
    ) -> None:
        """chunk: tokens of a prompt that a step reads at most; None: what this machine reads in `_STEP_S`."""
        self.family = family
        self.renderer = renderer
        self.vision = vision
        self.cache = cache
        self._tokenizer = family.tokenizer
        self._ends = _end_tokens(family.model, family.tokenizer)
        self._context = int(getattr(family.model.config.get_text_config(), "max_position_embeddings", 2**31))
        self._running: OrderedDict[str, _Running] = OrderedDict()
        self.chunk = self._measured_chunk() if chunk is None else chunk

    @property
    def slots(self) -> int:
        """See `Engine.slots`."""
        return 1

    def begin(self, request: Request) -> None:
        """See `Engine.begin`."""
        self._running[request.id] = _Running(request, request.prompt)

    def has_work(self) -> bool:
        """See `Engine.has_work`."""
        return bool(self._running)

    def cancel(self, request_id: str) -> None:
        """See `Engine.cancel`."""
        self._running.pop(request_id, None)

    def forget(self, stream: str, events: Sequence[str]) -> None:
        """See `Engine.forget`."""
        self.cache.forget(stream, events)

    def close(self) -> None:
        """See `Engine.close`."""
        self._running.clear()
        self.cache.clear()

    def step(self) -> list[EngineOutput]:
        """See `Engine.step`. What goes wrong is the end of one request and of no other."""
        if not self._running:
            return []
        running = next(iter(self._running.values()))
        try:
            outputs = self._advance(running)
        except (RuntimeError, ValueError, MemoryError, OSError, IndexError, KeyError, TypeError) as error:
            log.error("a request failed: %s", type(error).__name__, exc_info=error)
            outputs = [Failed(running.request.id, _BROKEN)]
        if outputs and isinstance(outputs[-1], Finished | Failed):
            self._running.pop(running.request.id, None)
        return outputs

    def prompt_ids(self, prompt: Prompt, frames: Sequence[VisualTokens]) -> list[int]:
        """The whole prompt as ids, each frame as its run of image tokens."""
        left = iter(frames)
        ids: list[int] = []
        for token in self.renderer.encode(prompt.messages()):
            ids += self.family.expand(next(left)) if token == self.family.image_token else [token]
        return ids

    def _advance(self, running: _Running) -> list[EngineOutput]:
        # Frames of the window are ready: only what must be encoded is a step of its own.
        if running.waiting is None:
            running.waiting = running.prompt.pictures()
        while running.waiting:
            picture = running.waiting.pop(0)
            known = self._is_ready(picture)
            running.frames.append(self._tokens(picture))
            if not known:
                return []
        if running.decoding is None and not self._open(running):
            return [Failed(running.request.id, _TOO_LONG)]
        return self._read_or_decode(running)

    def _is_ready(self, picture: Picture) -> bool:
        return self.cache.holds(picture) if isinstance(picture, Evidence) else picture.tokens is not None

    def _tokens(self, picture: Picture) -> VisualTokens:
        if isinstance(picture, Evidence):
            return self.cache.tokens(picture)
        if picture.tokens is not None:
            return picture.tokens
        return self.vision.encode([decode_picture(picture.jpeg)])[0]

    def _open(self, running: _Running) -> bool:
        """Lay the prompt out, smaller where it does not fit the model's context. False: it cannot be made to fit."""
        request = running.request
        frames = dict(zip(map(id, running.prompt.pictures()), running.frames, strict=True))
        prompt: Prompt | None = running.prompt
        while prompt is not None:
            shown = [frames[id(picture)] for picture in prompt.pictures()]
            ids = self.prompt_ids(prompt, shown)
            if len(ids) + min(request.max_tokens, self._context // 4) <= self._context:
                running.prompt, running.frames = prompt, shown
                running.most = min(request.max_tokens, self._context - len(ids))
                running.decoding = Decoding(self.family, ids, shown, request.temperature, request.seed)
                running.text = TextStream(self._tokenizer)
                return True
            prompt = prompt.smaller()
        return False

    def _read_or_decode(self, running: _Running) -> list[EngineOutput]:
        decoding, request = running.decoding, running.request
        assert decoding is not None
        outputs: list[EngineOutput] = []
        if decoding.prefilled:
            decoding.extend(running.tokens[-1])
        elif not decoding.prefill(self.chunk):
            return []
        else:
            outputs.append(Started(request.id, running.prompt, decoding.length))
        return [*outputs, *self._say(running, decoding.token())]

    def _say(self, running: _Running, token: int) -> list[EngineOutput]:
        request, text = running.request, running.text
        assert text is not None
        running.tokens.append(token)
        ended = token in self._ends
        full = len(running.tokens) >= running.most
        delta = "" if ended else text.add(token)
        if ended or full:
            delta += text.end()
        outputs: list[EngineOutput] = [Delta(request.id, delta)] if delta else []
        if ended or full:
            reason: Literal["stop", "length"] = "stop" if ended else "length"
            outputs.append(Finished(request.id, reason, len(running.tokens), tuple(running.tokens)))
        return outputs

    def _measured_chunk(self) -> int:
        """A power of two, so that the same machine cuts the same prompt alike each time."""
        self._prefill_s(_CHUNKS[0])
        if self._prefill_s(_CHUNKS[0]) > _STEP_S / 2:
            return _CHUNKS[0]
        rate = _PROBE / min(self._prefill_s(_PROBE) for _ in range(2))
        if rate * _STEP_S >= _LONG_PROBE:
            # Long runs are read at a higher rate than short ones.
            rate = max(rate, _LONG_PROBE / self._prefill_s(_LONG_PROBE))
        chunk = _CHUNKS[0]
        while chunk * 1.5 <= rate * _STEP_S and chunk < _CHUNKS[1]:
            chunk *= 2
        return chunk

    def _prefill_s(self, tokens: int) -> float:
        [token] = self._tokenizer.encode("a", add_special_tokens=False)[:1]
        decoding = Decoding(self.family, [token] * tokens, [])
        began = time.perf_counter()
        decoding.prefill(tokens)
        return time.perf_counter() - began


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    given = model.generation_config.eos_token_id
    ends = given if isinstance(given, list) else [given]
    return frozenset(one for one in (*ends, tokenizer.eos_token_id) if one is not None)


def load_engine(config: ModelConfig, cache_bytes: int, chunk: int | None = None) -> LocalEngine:
    """The engine of a checkpoint folder. Raises StartRefused."""
    what = "the model"
    settings = load_config(config, what)
    placement = place(config)
    tokenizer = load_tokenizer(config, what)
    model = load_model(AutoModelForImageTextToText, config, settings, placement, what)
    vision = CheckpointVision(model, load_image_processor(config, what), placement, config.frame_tokens)
    family = family_of(model, tokenizer)
    folder = Path(config.folder)
    cache = EvidenceCache(vision, checkpoint_hash(folder), cache_bytes)
    return LocalEngine(family, Renderer(tokenizer, family, folder), vision, cache, chunk)
