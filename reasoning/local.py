"""The engine of a checkpoint on this machine: encodes keyframes, reads prompts in chunks, decodes token by token."""

import logging
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import torch
from transformers import AutoModelForImageTextToText

from memory.messages import Evidence
from perception.checkpoint import (
    checkpoint_hash,
    load_config,
    load_image_processor,
    load_model,
    load_tokenizer,
    place,
    refusing,
)
from perception.config import ModelConfig
from perception.encoders import VisionHalf
from perception.messages import Fault
from perception.vision import CheckpointVision, decode_picture
from perception.window import VisualTokens
from reasoning.batch import Batch
from reasoning.costs import CostMeter
from reasoning.decoding import Decoding
from reasoning.engine import Delta, EngineOutput, Failed, Finished, Request, Started
from reasoning.evidence import EvidenceCache
from reasoning.families.common import Family
from reasoning.families.registry import family_of
from reasoning.pace import LARGEST, SMALLEST, STEP_S, Pace, fitting_chunk
from reasoning.prompt import Picture, Prompt
from reasoning.render import Renderer
from reasoning.text import TextStream
from reasoning.trial import try_engine

log = logging.getLogger(__name__)

_PROBE: Final = 128
_LONG_PROBE: Final = 512
_TOO_LONG: Final = Fault("too_large", "the question does not fit the model's context: ask a shorter one", "question")
_EXHAUSTED: Final = 3
_EXHAUSTED_S: Final = 60.0
"""So often in so short a time, and it is tried whether the device still has room for anything."""
_TRIAL_CHUNKS: Final = 4
"""How long the model may read by itself before it is ready, counted in steps."""
_FULL: Final = Fault("model_unavailable", "the model's memory is full: ask again in a moment, or ask for less")
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
    encoded_s: float = 0.0


class LocalEngine:
    """Implements `Engine`: prompts are read one after the other, and all that have been read are decoded together."""

    def __init__(
        self,
        family: Family,
        renderer: Renderer,
        vision: VisionHalf,
        cache: EvidenceCache,
        chunk: int | None = None,
        slots: int = 1,
    ) -> None:
        """chunk: tokens of a prompt that a step reads at most; None: what this machine reads in `STEP_S`."""
        self.family = family
        self.renderer = renderer
        self.vision = vision
        self.cache = cache
        self._tokenizer = family.tokenizer
        self.ends = _end_tokens(family.model, family.tokenizer)
        """Tokens that end an answer."""
        self.on_token: Callable[[str, int, torch.Tensor], None] | None = None
        """Told of each token that is chosen: its request, its id, the scores [vocabulary] that it was chosen by."""
        self._context = int(getattr(family.model.config.get_text_config(), "max_position_embeddings", 2**31))
        self._running: OrderedDict[str, _Running] = OrderedDict()
        self._batch = Batch(family)
        self._slots = slots
        self.meter = CostMeter(slots)
        self._exhausted_at: deque[float] = deque(maxlen=_EXHAUSTED)
        self.pace = self._measured_pace() if chunk is None else Pace(chunk)

    @property
    def slots(self) -> int:
        """See `Engine.slots`."""
        return self._slots

    @property
    def decoding(self) -> Literal["together", "apart"]:
        """See `Engine.decoding`: it is the family's cache that decides."""
        return "together" if self._batch.joins else "apart"

    @property
    def chunk(self) -> int:
        """Tokens of a prompt that the next step reads at most."""
        return self.pace.chunk

    @chunk.setter
    def chunk(self, tokens: int) -> None:
        self.pace = Pace(tokens)

    def next_step_s(self) -> float:
        """See `Engine.next_step_s`."""
        return self.pace.next_step_s()

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
        self._batch.clear()
        self.cache.clear()

    def step(self) -> list[EngineOutput]:
        """See `Engine.step`: a token for each that has been read, then a piece of the first that has not.

        What goes wrong is the end of one request and of no other. Raises where the device is lost: no request could be
        answered any more.
        """
        outputs: list[EngineOutput] = []
        if saying := [one for one in self._running.values() if one.tokens]:
            outputs += self._guarded(saying[-1], partial(self._decode, saying))
        else:
            self._batch.clear()
        reading = next((one for one in self._running.values() if not one.tokens), None)
        if reading is not None:
            outputs += self._guarded(reading, partial(self._advance, reading))
        return outputs

    def _guarded(self, blamed: _Running, work: Callable[[], list[EngineOutput]]) -> list[EngineOutput]:
        """Do it; where that fails, `blamed` fails."""
        try:
            outputs = work()
        except torch.AcceleratorError:
            # Whatever is asked of the device from now on fails likewise.
            raise
        except torch.OutOfMemoryError as error:
            self._running.pop(blamed.request.id, None)
            self._make_room(error)
            outputs = [Failed(blamed.request.id, _FULL)]
        except Exception as error:
            log.error("a request failed: %s", type(error).__name__, exc_info=error)
            outputs = [Failed(blamed.request.id, _BROKEN)]
        for output in outputs:
            if isinstance(output, Finished | Failed):
                self._running.pop(output.id, None)
        return outputs

    def _make_room(self, error: torch.OutOfMemoryError) -> None:
        """Give back what the device holds for nothing. Raises where it has no room even when nobody is left."""
        log.error("a request failed: the device's memory is full")
        # The frames that failed hold on to what they had made.
        traceback.clear_frames(error.__traceback__)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        now = time.monotonic()
        self._exhausted_at.append(now)
        often = len(self._exhausted_at) == _EXHAUSTED and now - self._exhausted_at[0] < _EXHAUSTED_S
        if often and not self._running:
            # Large requests may fail one after the other; a device on which nothing fits any more needs a new process.
            self._batch.clear()
            self._prefill_s(1)
            self._exhausted_at.clear()

    def prompt_ids(self, prompt: Prompt, frames: Sequence[VisualTokens]) -> list[int]:
        """The whole prompt as ids, each frame as its run of image tokens."""
        return self.family.lay_out(self.renderer.encode(prompt.messages()), frames)

    def _advance(self, running: _Running) -> list[EngineOutput]:
        # Frames of the window are ready: only what must be encoded is a step of its own.
        if running.waiting is None:
            running.waiting = running.prompt.pictures()
        while running.waiting:
            picture = running.waiting.pop(0)
            known, began = self._is_ready(picture), time.perf_counter()
            running.frames.append(self._tokens(picture))
            if not known:
                seconds = time.perf_counter() - began
                self.pace.note(seconds)
                running.encoded_s += seconds
                return []
        if running.decoding is None and not self._open(running):
            return [Failed(running.request.id, _TOO_LONG)]
        return self._read(running)

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

    def _decode(self, saying: Sequence[_Running]) -> list[EngineOutput]:
        """A token for each of these. It was the last to come, where the model fails on all of them together."""
        began = time.perf_counter()
        self._batch.extend([(one.decoding, one.tokens[-1]) for one in saying if one.decoding is not None])
        self.pace.note(time.perf_counter() - began)
        outputs = [output for one in saying for output in self._guarded(one, partial(self._say_next, one))]
        # A GPU has decoded when the tokens are there.
        if not all(one.request.idle for one in saying):
            self.meter.note_step(len(saying), time.perf_counter() - began)
        return outputs

    def _say_next(self, running: _Running) -> list[EngineOutput]:
        assert running.decoding is not None
        return self._say(running, running.decoding.token())

    def _read(self, running: _Running) -> list[EngineOutput]:
        decoding, request = running.decoding, running.request
        assert decoding is not None
        began, before = time.perf_counter(), decoding.read
        complete = decoding.prefill(min(self.chunk, SMALLEST) if request.idle else self.chunk)
        if not request.idle:
            self.pace.note_chunk(decoding.read - before, time.perf_counter() - began)
        token = decoding.token() if complete else None
        if not request.idle:
            self.meter.note_read(decoding.read - before, time.perf_counter() - began)
        if token is None:
            return []
        if not request.idle:
            self.meter.note_encoded(running.encoded_s)
        return [Started(request.id, running.prompt, decoding.length), *self._say(running, token)]

    def _say(self, running: _Running, token: int) -> list[EngineOutput]:
        request, text = running.request, running.text
        assert text is not None
        assert running.decoding is not None
        running.tokens.append(token)
        if self.on_token is not None:
            self.on_token(request.id, token, running.decoding.logits)
        ended = token in self.ends
        full = len(running.tokens) >= running.most
        delta = "" if ended else text.add(token)
        if ended or full:
            delta += text.end()
        outputs: list[EngineOutput] = [Delta(request.id, delta)] if delta else []
        if ended or full:
            reason: Literal["stop", "length"] = "stop" if ended else "length"
            outputs.append(Finished(request.id, reason, len(running.tokens), tuple(running.tokens)))
        return outputs

    def _measured_pace(self) -> Pace:
        self._prefill_s(SMALLEST)
        rate = SMALLEST / self._prefill_s(SMALLEST)
        if rate * STEP_S >= 2 * SMALLEST:
            rate = _PROBE / min(self._prefill_s(_PROBE) for _ in range(2))
        if rate * STEP_S >= _LONG_PROBE:
            # Long runs are read at a higher rate than short ones.
            rate = max(rate, _LONG_PROBE / self._prefill_s(_LONG_PROBE))
        pace = Pace(fitting_chunk(rate), LARGEST)
        pace.note(pace.chunk / rate)
        self.meter.note_read(1, 1 / rate)
        return pace

    def _prefill_s(self, tokens: int) -> float:
        [token] = self._tokenizer.encode("a", add_special_tokens=False)[:1]
        decoding = Decoding(self.family, [token] * tokens, [])
        began = time.perf_counter()
        decoding.prefill(tokens)
        # A GPU has read when its scores are there.
        decoding.token()
        return time.perf_counter() - began


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    given = model.generation_config.eos_token_id
    ends = given if isinstance(given, list) else [given]
    return frozenset(one for one in (*ends, tokenizer.eos_token_id) if one is not None)


def load_engine(config: ModelConfig, cache_bytes: int, chunk: int | None = None, slots: int = 1) -> LocalEngine:
    """The engine of a checkpoint folder. Raises StartRefused."""
    what = "the model"
    settings = load_config(config, what)
    placement = place(config)
    tokenizer = load_tokenizer(config, what)
    model = load_model(AutoModelForImageTextToText, config, settings, placement, what)
    vision = CheckpointVision(model, load_image_processor(config, what), placement, config.frame_tokens)
    family = family_of(model, tokenizer)
    family.learn(config, vision)
    folder = Path(config.folder)
    renderer = Renderer(tokenizer, family.image_token, family.marks, folder)
    cache = EvidenceCache(vision, checkpoint_hash(folder), cache_bytes)
    with refusing("the model cannot be read in chunks"):
        engine = LocalEngine(family, renderer, vision, cache, chunk, slots)
    engine.pace.note(vision.slowest_s)
    try_engine(family, renderer, vision, most=_TRIAL_CHUNKS * engine.chunk)
    return engine
